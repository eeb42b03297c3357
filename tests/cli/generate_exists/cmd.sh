# A file that exists is replaced with --force alone.
. "$CLI_TESTS/inputs.sh"
demo_model demo
echo mine >l.safetensors
run() {
    filigree generate -m demo -p x -W 32 -H 32 --frames 1 --steps 1 --threads 1 \
        --save-latents l.safetensors "$@"
}
run; test $? = 5 || exit 1
cat l.safetensors
run --force --json >out.json || exit 1
filigree info --json l.safetensors | grep '"type":"tensor"'
