# A path that begins with a dash, unguarded, is an option.
. "$CLI_TESTS/inputs.sh"
two ./-model
filigree info -model
