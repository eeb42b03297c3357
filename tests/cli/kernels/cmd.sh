# A table; the reference rows run anywhere.
FIL_ISA=ref filigree kernels --threads 1
