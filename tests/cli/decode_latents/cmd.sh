# Latents of a run give its frames again, and frames give latents.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 32 -H 48 --frames 5 --steps 1 --threads 1 --save-latents l \
    --save-frames f 2>/dev/null || exit 1
filigree decode -m demo -i l --save-frames g --threads 1 2>/dev/null || exit 1
cmp f g || exit 1
mv f frames.safetensors
filigree encode -m demo -i frames.safetensors -o z --threads 1 2>/dev/null || exit 1
filigree info --json z | grep '"type":"tensor"'
