filigree bench attention --n 20 --sinks 30
