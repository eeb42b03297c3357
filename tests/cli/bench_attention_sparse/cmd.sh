# Sparse beside dense.
FIL_ISA=ref filigree bench attention --n 300 --heads 1 --density 0.4 --mask window --tail --sinks 3 --repetitions 2
