. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo --vae demo/models_t5_umt5-xxl-enc-bf16.safetensors -p x --save-frames f
