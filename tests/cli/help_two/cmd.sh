# help takes one verb.
filigree help info info
