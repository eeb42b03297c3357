# A limit of 1K: memory, exit code 4, and the message names the limit in bytes.
. "$CLI_TESTS/inputs.sh"
many a 2000
filigree info --max-memory 1K a
