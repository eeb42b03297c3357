# A broken file of a folder is reported by name, the others are listed, exit code 3.
. "$CLI_TESTS/inputs.sh"
mkdir -p m/vae
two m/a.safetensors
echo 'no model at all' >m/vae/b.safetensors
two m/c.safetensors
filigree info m
