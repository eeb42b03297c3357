# --threads 4x is not 4.
filigree info --threads=4x x
