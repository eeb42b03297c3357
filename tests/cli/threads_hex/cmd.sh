# --threads 0x10: decimal only.
filigree info --threads 0x10 x
