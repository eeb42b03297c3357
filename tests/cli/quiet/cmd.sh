# --quiet leaves warnings and errors.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='filigree generate -m demo -W 32 -H 32 --frames 1 --steps 1 --threads 1'
long=$(yes fox | head -n 600 | tr '\n' ' ')
$run -p x -q -o a.png
$run -p "$long" --quiet -o b.png
filigree convert demo/Wan2.1_VAE.safetensors -o c.safetensors -q
$run -p x --quiet -o a.png
