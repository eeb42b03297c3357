filigree masks --help
