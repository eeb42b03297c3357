# A folder of single files, one of them a GGUF; its name may be any.
. "$CLI_TESTS/inputs.sh"
mkdir -p m/unet m/vae
python3 "$CLI_TESTS/make_gguf.py" m/unet/wan-q4_k.gguf || exit
two m/vae/wan_2.1_vae.safetensors
filigree info m
