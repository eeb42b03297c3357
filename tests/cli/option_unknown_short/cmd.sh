# An unknown short option is named.
filigree info -q x
