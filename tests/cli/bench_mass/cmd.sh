# Beside dense attention.
FIL_ISA=ref filigree bench mass --n 100 --heads 1 --repetitions 1
