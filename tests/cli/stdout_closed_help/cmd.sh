# The same for --help.
filigree --help >&-
