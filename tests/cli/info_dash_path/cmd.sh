# A path that begins with a dash stands behind --, or behind ./
. "$CLI_TESTS/inputs.sh"
two ./--json
filigree info -- --json
filigree info ./--json --json | head -n 1
