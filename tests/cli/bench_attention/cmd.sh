# Dense alone where no density is given.
FIL_ISA=ref filigree bench attention --n 100 --heads 1 --head-dim 64 --threads 1 --repetitions 1
