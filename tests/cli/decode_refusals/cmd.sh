# Latents of another kind, an input that is none, an output that cannot be.
. "$CLI_TESTS/inputs.sh"
demo_model demo
st three.safetensors '{"latents":{"dtype":"F32","shape":[3,1,2,2],"data_offsets":[0,48]}}' 48
st half.safetensors '{"latents":{"dtype":"F16","shape":[16,1,2,2],"data_offsets":[0,128]}}' 128
st good.safetensors '{"latents":{"dtype":"F32","shape":[16,2,2,2],"data_offsets":[0,512]}}' 512
filigree decode -m demo -i three.safetensors -o a.png; echo "exit $?"
filigree decode -m demo -i half.safetensors -o a.png; echo "exit $?"
filigree decode -m demo -i none.safetensors -o a.png; echo "exit $?"
filigree decode -m demo -i good.safetensors -o a.png; echo "exit $?"
filigree decode -m demo -i good.safetensors --save-frames no/such/f; echo "exit $?"
filigree decode -m none -i good.safetensors --save-frames f; echo "exit $?"
filigree decode -m demo -i good.safetensors -o a.y4m --save-frames f.y4m; echo "exit $?"
