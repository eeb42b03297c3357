# --help of info lists its options.
filigree info --help
