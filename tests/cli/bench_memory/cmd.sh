# Refused before anything is measured.
filigree bench attention --n 1000000 --max-memory 10M
