# A long value is cut for people, unless -v; JSON has it whole.
. "$CLI_TESTS/inputs.sh"
long=$(printf '%01000d' 0)
st a "{\"__metadata__\":{\"key\":\"$long\"},\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}" 1
filigree info a
filigree info -v a | grep -c "\"$long\"\$"
filigree info --json a | grep -c "\"value\":\"$long\"}\$"
