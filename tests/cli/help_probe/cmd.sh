filigree probe --help
