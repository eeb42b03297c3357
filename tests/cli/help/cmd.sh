# --help of the program lists every verb and exit code.
filigree --help
