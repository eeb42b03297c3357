# info needs a path.
filigree info
