filigree compare --help
