# An unknown option is named.
filigree info --colour x
