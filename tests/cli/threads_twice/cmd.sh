# A value given twice is refused: which one is meant is not clear.
filigree info --threads 1 --threads 2 x
