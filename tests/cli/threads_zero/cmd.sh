# --threads 0 is out of range.
filigree info --threads 0 x
