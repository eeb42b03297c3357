# --max-memory -1.
filigree info --max-memory=-1 x
