# A path with a line end is shown harmless.
. "$CLI_TESTS/inputs.sh"
name=$(printf 'a\nb\033[1m')
two "$name"
filigree info "$name" | head -n 2
filigree info --json "$name" | head -n 2
filigree info "$name.missing"
