# A flag takes no value.
filigree info --json=yes x
