# --help ends the reading of options: what follows is not looked at.
filigree info --help --no-such-option >/dev/null
