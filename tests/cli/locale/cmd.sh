# The locale changes no byte.
. "$CLI_TESTS/inputs.sh"
st a '{"x":{"dtype":"F16","shape":[1234567],"data_offsets":[0,2469134]}}' 2469134
LC_ALL=C filigree info a >c && LC_ALL=de_DE.UTF-8 filigree info a >de && cmp c de
