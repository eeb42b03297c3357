# --name= is an empty value, not a missing one.
filigree info --threads= x
