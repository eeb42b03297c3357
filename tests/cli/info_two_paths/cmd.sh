# info takes one path.
filigree info a b
