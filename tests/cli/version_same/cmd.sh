# -V and --version, before or behind the verb, agree.
filigree --version >a && filigree -V >b && filigree info --version >c && filigree info -V >d
cmp a b && cmp a c && cmp a d
