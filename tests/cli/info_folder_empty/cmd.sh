# A folder without a model file does not fit.
mkdir m
filigree info m
