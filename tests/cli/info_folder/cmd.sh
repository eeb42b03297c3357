# A folder: one line per file, and sums.
. "$CLI_TESTS/inputs.sh"
sharded m/transformer
mkdir m/vae
two m/vae/vae.safetensors
filigree info m
filigree info m/ | head -n 1
