# --threads 1.5.
filigree info --threads 1.5 x
