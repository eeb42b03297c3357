# A mask file that is none.
. "$CLI_TESTS/inputs.sh"
demo_model demo
two m.safetensors
filigree generate -m demo -p x -W 32 -H 32 --frames 1 --mask m.safetensors --save-latents l
