. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p "a red fox" -n "" -W 64 -H 64 --frames 5 --plan --json \
    --save-latents l --threads 1
