# A name of 512 bytes is printed whole; other rows keep their columns.
. "$CLI_TESTS/inputs.sh"
name=$(printf '%0512d' 0)
st a "{\"$name\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"short\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}" 2
filigree info a
