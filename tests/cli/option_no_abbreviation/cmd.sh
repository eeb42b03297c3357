# Options are not abbreviated.
filigree info --verb x
