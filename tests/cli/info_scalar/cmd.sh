# A scalar and an empty tensor.
. "$CLI_TESTS/inputs.sh"
st a '{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"z":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}}' 4
filigree info a
filigree info --json a
