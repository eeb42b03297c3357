# A model file that is a symbolic link is not followed without --trusted.
. "$CLI_TESTS/inputs.sh"
mkdir m
two blob
two m/a.safetensors
ln -s ../blob m/b.safetensors
filigree info m
