# A limit of memory: what is chosen, that it is kept, and the figure that would do.
. "$CLI_TESTS/inputs.sh"
demo_model demo
render() {
    filigree generate -m demo -p x -W 512 -H 272 --frames 5 --steps 1 --cfg 1 --precision f32 \
        --threads 1 --save-frames f --checkpoint-every never "$@"
}
peak() { sed 's/.*"peak_bytes":\([0-9]*\).*/\1/'; }
least=$(render --plan --json --vae-tiles --stream-weights | peak)
render --plan --json --max-memory "$least" | grep -o '"vae_tiles":1,"stream_weights":[01]'
render --max-memory "$least" 2>/dev/null || exit 1
mv f tiled
render --vae-tiles 2>/dev/null || exit 1
cmp f tiled || exit 1
rm f
render --max-memory $((least - 1)) 2>&1 | sed "s/$least/LEAST/; s/$((least - 1))/LIMIT/"
ls
