# What is not alike, what is lossy, what is not a number.
. "$CLI_TESTS/inputs.sh"
st a '{"frames":{"dtype":"U8","shape":[2,4,4,3],"data_offsets":[0,96]}}' 96
st b '{"frames":{"dtype":"U8","shape":[1,4,8,3],"data_offsets":[0,96]}}' 96
st l '{"latents":{"dtype":"F32","shape":[2,1,2,2],"data_offsets":[0,32]}}' 32
st h '{"latents":{"dtype":"F16","shape":[4,1,2,2],"data_offsets":[0,32]}}' 32
st n '{"noise":{"dtype":"F32","shape":[2,1,2,2],"data_offsets":[0,32]}}' 32
cp l nan
printf '\000\000\300\177' | dd of=nan bs=1 seek=$(($(wc -c <nan) - 8)) conv=notrunc 2>/dev/null
echo video >v.mp4
filigree compare a b; echo "exit $?"
filigree compare a l; echo "exit $?"
filigree compare l h; echo "exit $?"
filigree compare n l; echo "exit $?"
filigree compare nan l; echo "exit $?"
filigree compare l nan; echo "exit $?"
filigree compare a v.mp4; echo "exit $?"
filigree compare a none; echo "exit $?"
filigree compare a; echo "exit $?"
filigree compare a b c; echo "exit $?"
filigree compare a a --max-memory 1000; echo "exit $?"
