# --version prints name and version, once.
filigree --version
