# --threads abc.
filigree info --threads abc x
