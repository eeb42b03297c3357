# With --trusted it is.
. "$CLI_TESTS/inputs.sh"
mkdir m
two blob
two m/a.safetensors
ln -s ../blob m/b.safetensors
filigree info --trusted m
