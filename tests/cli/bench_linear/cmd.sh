# Beside the product alone; no column of densities.
FIL_ISA=ref filigree bench linear --m 20 --k 30 --n 10 --epilogue gate --repetitions 1
