# Frames of a size that the VAE does not take, inputs that are none.
. "$CLI_TESTS/inputs.sh"
demo_model demo
st odd.safetensors '{"frames":{"dtype":"U8","shape":[1,12,16,3],"data_offsets":[0,576]}}' 576
st real.safetensors '{"frames":{"dtype":"F32","shape":[1,8,8,3],"data_offsets":[0,768]}}' 768
st good.safetensors '{"frames":{"dtype":"U8","shape":[3,8,8,3],"data_offsets":[0,576]}}' 576
echo text >note.png
filigree encode -m demo -i odd.safetensors -o l; echo "exit $?"
filigree encode -m demo -i real.safetensors -o l; echo "exit $?"
filigree encode -m demo -i good.safetensors --frames 5 -o l; echo "exit $?"
filigree encode -m demo -i good.safetensors --frames 2 -o l; echo "exit $?"
filigree encode -m demo -i note.png -o l; echo "exit $?"
filigree encode -m demo -i none.png -o l; echo "exit $?"
filigree encode -m demo -i good.safetensors -o no/such/l; echo "exit $?"
filigree encode -m demo -i good.safetensors -o l.mp4; echo "exit $?"
filigree encode -m demo -i none.png -o ./l.png; echo "exit $?"
ls
