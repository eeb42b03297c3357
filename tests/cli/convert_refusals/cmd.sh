# Requests that cannot be met: said in one sentence, and nothing is written.
. "$CLI_TESTS/inputs.sh"
two a.safetensors
st inf.safetensors '{"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}' 12
printf '\377\377\177\177' >>inf.safetensors
head -c 100 a.safetensors >cut.safetensors
mkdir folder
filigree convert a.safetensors; echo "exit $?"
filigree convert -o b.safetensors; echo "exit $?"
filigree convert a.safetensors -o b.bin; echo "exit $?"
filigree convert a.safetensors -o b.gguf; echo "exit $?"
filigree convert a.safetensors -o b.safetensors --type q8_0; echo "exit $?"
filigree convert a.safetensors -o b.safetensors --type q4_0; echo "exit $?"
filigree convert a.safetensors -o b.safetensors --names original; echo "exit $?"
filigree convert a.safetensors -o ./a.safetensors --force; echo "exit $?"
filigree convert a.safetensors inf.safetensors a.safetensors -o b.safetensors; echo "exit $?"
filigree convert inf.safetensors -o b.safetensors --type f16; echo "exit $?"
filigree convert cut.safetensors -o b.safetensors; echo "exit $?"
filigree convert none.safetensors -o b.safetensors; echo "exit $?"
filigree convert folder -o b.safetensors; echo "exit $?"
filigree convert a.safetensors -o no/b.safetensors; echo "exit $?"
echo mine >b.safetensors
filigree convert a.safetensors -o b.safetensors; echo "exit $?"
cat b.safetensors
ls -A
