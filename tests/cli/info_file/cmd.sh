# A file: header, tensors by name, sums per dtype.
. "$CLI_TESTS/inputs.sh"
two a.safetensors
filigree info a.safetensors
