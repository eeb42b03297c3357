# An unknown short option is named.
filigree info -y x
