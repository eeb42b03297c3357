# Two seeds of the demo model; a file with itself; latents.
. "$CLI_TESTS/inputs.sh"
demo_model demo
for s in 1 2; do
    filigree generate -m demo -p x -W 32 -H 48 --frames 5 --steps 1 --threads 1 --seed $s \
        --save-frames f$s --save-latents l$s 2>/dev/null || exit 1
done
filigree compare f1 f2 || exit 1
filigree compare f1 f1 || exit 1
filigree compare l1 l2 || exit 1
