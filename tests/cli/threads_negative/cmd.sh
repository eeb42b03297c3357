# --threads -1: the value is read as a value, and refused.
filigree info --threads -1 x
