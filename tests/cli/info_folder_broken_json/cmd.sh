# The same as JSON: an object of type error in its place.
. "$CLI_TESTS/inputs.sh"
mkdir -p m/vae
two m/a.safetensors
echo 'no model at all' >m/vae/b.safetensors
filigree info --json m
