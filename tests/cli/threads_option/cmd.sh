# --threads followed by an option is a missing value.
filigree info --threads --json x
