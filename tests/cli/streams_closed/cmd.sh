# All three streams closed.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a <&- >&- 2>&-
