# The parts of the plan: memory, work, kernels, time; tiles and streamed weights in it.
. "$CLI_TESTS/inputs.sh"
demo_model demo
plan() {
    filigree generate -m demo -p "a red fox" -W 512 -H 272 --frames 5 --steps 2 --plan \
        --save-frames f --threads 1 "$@"
}
numbers='s/ *[0-9.]* [KMGT]*i*B/ N/; s/[0-9.e+-]* TFLOP/N TFLOP/; s/\(text\|attention\|linears\|VAE\) [0-9.e+-]*/\1 N/g'
numbers="$numbers; s/\([a-z0-9]*_\)*[a-z0-9]*__[a-z0-9]*/ROW/g; s/about .*/about .../"
plan | sed -e '/^work/,$!d' -e "$numbers" || exit 1
plan --vae-tiles --stream-weights | grep -e weights -e decoding -e disk | sed "$numbers"
plan --trusted | grep mapped | sed "$numbers"
