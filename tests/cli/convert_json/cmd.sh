# What was written, for people and as JSON.
. "$CLI_TESTS/inputs.sh"
demo_model demo
index=demo/diffusion_pytorch_model.safetensors.index.json
filigree convert $index -o a.gguf --type q8_0
filigree convert $index -o a.gguf --type q8_0 --force --json
two t.safetensors
filigree convert t.safetensors -o u.safetensors --type f16 --json
filigree info u.safetensors
