# A folder of mixed formats.
. "$CLI_TESTS/inputs.sh"
mkdir m
two m/diffusion_pytorch_model.safetensors
python3 "$CLI_TESTS/make_pth.py" m/Wan2.1_VAE.pth || exit
echo '{}' >m/config.json
filigree info m
