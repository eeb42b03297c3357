# Sizes from a kibibyte on are given rounded and exactly.
. "$CLI_TESTS/inputs.sh"
st a '{"x":{"dtype":"F16","shape":[1234567],"data_offsets":[0,2469134]}}' 2469134
filigree info a
