# -v lists the tensors of every file.
. "$CLI_TESTS/inputs.sh"
sharded m
two m/vae.safetensors
filigree info -v m 2>/dev/null
