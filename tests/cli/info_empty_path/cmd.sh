# An empty path.
filigree info ''
