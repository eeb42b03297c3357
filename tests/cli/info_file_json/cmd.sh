# The same as JSON.
. "$CLI_TESTS/inputs.sh"
two a.safetensors
filigree info --json a.safetensors
