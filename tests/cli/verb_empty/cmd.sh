# An empty verb is unknown.
filigree ''
