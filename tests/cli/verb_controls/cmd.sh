# A verb with terminal escapes is shown harmless.
filigree "$(printf 'in\033[2Jfo\nx')"
