. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo --vae demo/models_t5_umt5-xxl-enc-bf16.safetensors -p x --save-frames f
st dit.safetensors '{"model.diffusion_model.head.modulation":{"dtype":"F32","shape":[1,2,1],"data_offsets":[0,8]}}' 8
filigree generate -m demo --vae dit.safetensors -p x --save-frames f
filigree generate -m demo --dit demo/Wan2.1_VAE.safetensors -p x --save-frames f
filigree generate -m demo --t5 demo/Wan2.1_VAE.safetensors -p x --save-frames f
filigree generate -m demo --tokenizer demo -p x --save-frames f
echo '[]' >demo/config.json
filigree generate -m demo -p x --save-frames f
