# Options may follow the argument.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a --json >after && filigree info --json a >before && cmp after before
