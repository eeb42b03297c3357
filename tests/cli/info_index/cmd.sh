# The index of a sharded model.
. "$CLI_TESTS/inputs.sh"
sharded m
filigree info m/model.safetensors.index.json
filigree info --json m/model.safetensors.index.json
