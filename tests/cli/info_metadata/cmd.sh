# Metadata of a file, in its order.
. "$CLI_TESTS/inputs.sh"
st a '{"__metadata__":{"format":"pt","author":"nobody"},"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}' 1
filigree info a
filigree info --json a
