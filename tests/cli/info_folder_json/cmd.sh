# A folder as JSON: tensors of every file; file leads to the bytes.
. "$CLI_TESTS/inputs.sh"
sharded m/transformer
mkdir m/vae
two m/vae/vae.safetensors
filigree info --json m
filigree info --json m/ | grep vae | tail -n 1
