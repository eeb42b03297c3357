# --max-memory 1: memory, exit code 4.
. "$CLI_TESTS/inputs.sh"
two a
filigree info --max-memory 1 a
