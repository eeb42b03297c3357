# A file without tensors.
. "$CLI_TESTS/inputs.sh"
st a '{}' 0
filigree info a
filigree info --json a
