filigree generate --help
