# A shard that is a symbolic link is refused without --trusted.
. "$CLI_TESTS/inputs.sh"
sharded m
mv m/model-00002-of-00002.safetensors blob
ln -s ../blob m/model-00002-of-00002.safetensors
filigree info m/model.safetensors.index.json
