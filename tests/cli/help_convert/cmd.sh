filigree convert --help
