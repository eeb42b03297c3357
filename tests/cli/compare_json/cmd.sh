# One object; figures that do not exist or are infinite are null.
. "$CLI_TESTS/inputs.sh"
st a '{"frames":{"dtype":"U8","shape":[2,4,4,3],"data_offsets":[0,96]}}' 96
cp a b
printf '\003' | dd of=b bs=1 seek=$(($(wc -c <b) - 1)) conv=notrunc 2>/dev/null
filigree compare a b --json || exit 1
filigree compare a a --json
