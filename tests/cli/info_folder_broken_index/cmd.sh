# An index whose shard is missing, in a folder: its files are not listed one by one.
. "$CLI_TESTS/inputs.sh"
sharded m
two m/vae.safetensors
rm m/model-00001-of-00002.safetensors
filigree info --json m 2>err | grep -o '"type":"[a-z]*"' | uniq
wc -l <err
