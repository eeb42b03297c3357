# A checkpoint is told by its content, whatever its name.
python3 "$CLI_TESTS/make_pth.py" model.safetensors || exit
filigree info model.safetensors | head -n 2
