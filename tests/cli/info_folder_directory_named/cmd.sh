# A folder whose name ends like a file is still a folder.
. "$CLI_TESTS/inputs.sh"
mkdir -p m/x.safetensors
two m/a.safetensors
filigree info m
