# What the plan says of captures, where they lie, what is refused.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run() {
    filigree generate -m demo -p x -n y -W 32 -H 48 --frames 5 --steps 2 --threads 1 \
        --save-latents l "$@"
}
run --capture all:1 --capture-to c/ --plan --json | grep -o '"captures":.*' || exit 1
run --capture all:1 --capture-to c/ 2>/dev/null || exit 1
ls c
filigree info --json c/layer001_step001_pass0.safetensors | grep -o '"name":"q","dtype":"BF16","shape":.*,"by'
run --capture 0:0:1 --force 2>/dev/null || exit 1
ls
run --capture 0-1:0-1 --capture-to c; echo "exit $?"
rm l
run --capture 0-1:0-1 --capture-to c; echo "exit $?"
run --capture 2:0; echo "exit $?"
run --capture 0; echo "exit $?"
run --capture-to d; echo "exit $?"
