filigree encode --help
