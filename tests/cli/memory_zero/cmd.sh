# --max-memory 0 is out of range.
filigree info --max-memory 0 x
