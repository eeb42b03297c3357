# A device is refused.
filigree info /dev/null
