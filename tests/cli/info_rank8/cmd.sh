# A shape of rank 8.
. "$CLI_TESTS/inputs.sh"
st a '{"x":{"dtype":"U8","shape":[1,2,1,2,1,2,1,2],"data_offsets":[0,16]}}' 16
filigree info a
