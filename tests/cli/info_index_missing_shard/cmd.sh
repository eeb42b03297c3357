# A shard that is not there is named.
. "$CLI_TESTS/inputs.sh"
sharded m
rm m/model-00002-of-00002.safetensors
filigree info m/model.safetensors.index.json
