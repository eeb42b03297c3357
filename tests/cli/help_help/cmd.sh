# --help of help.
filigree help --help
