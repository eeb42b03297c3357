# The folder of an output is asked for before the model is read.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x --save-latents no/such/l.safetensors
