# A line for each kernel that runs here, and the sum.
FIL_ISA=ref filigree selftest --threads 1
