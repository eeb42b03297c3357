# An index cannot name a file outside of its folder.
. "$CLI_TESTS/inputs.sh"
mkdir m
one x.safetensors x
echo '{"metadata":{},"weight_map":{"x":"../x.safetensors"}}' >m/model.safetensors.index.json
filigree info m/model.safetensors.index.json
filigree info --trusted m/model.safetensors.index.json
