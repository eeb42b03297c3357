filigree decode --help
