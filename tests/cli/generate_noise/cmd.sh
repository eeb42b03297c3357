# Noise of another size, and a file without any.
. "$CLI_TESTS/inputs.sh"
demo_model demo
st small.safetensors '{"noise":{"dtype":"F32","shape":[16,1,2,2],"data_offsets":[0,256]}}' 256
st other.safetensors '{"x":{"dtype":"F32","shape":[16,1,2,2],"data_offsets":[0,256]}}' 256
for noise in small other none; do
    filigree generate -m demo -p x -W 32 -H 32 --frames 1 --noise $noise.safetensors \
        --save-latents l
done
# Values that are none are found before the prompts are read.
st nan.safetensors '{"noise":{"dtype":"F32","shape":[16,1,4,4],"data_offsets":[0,1024]}}' 1020
printf '\000\000\300\177' >>nan.safetensors
filigree generate -m demo -p x -W 32 -H 32 --frames 1 --noise nan.safetensors --save-latents l --plan
