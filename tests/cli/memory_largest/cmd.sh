# The largest size is taken.
. "$CLI_TESTS/inputs.sh"
two a
filigree info --max-memory 9223372036854775807 a >/dev/null
