# Types of less than a byte: parameters are counted, not bytes.
. "$CLI_TESTS/inputs.sh"
st a '{"x":{"dtype":"F4","shape":[6],"data_offsets":[0,3]},"y":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[3,5]}}' 5
filigree info a
