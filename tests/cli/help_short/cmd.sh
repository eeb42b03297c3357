# -h and the help verb print what --help prints.
filigree --help >a && filigree -h >b && filigree help >c && cmp a b && cmp a c
