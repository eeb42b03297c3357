# --continue leaves alone what was made with the same settings, by the recipe beside it; what was made
# with others is named, and made again with --force alone.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'one\ntwo\n' >p.txt
run='filigree generate -m demo --prompt-file p.txt -W 32 -H 32 --frames 1 --threads 1 -o v.png --continue'
last() {
    "$@" 2>err
    echo "exit $?"
    tail -n 1 err
}
last $run --steps 2
last $run --steps 2
cp v-001.png.json first.json
cp v-001.png first.png
echo other settings
last $run --steps 3
last $run --steps 2 --seed 7
last $run --steps 2 --cfg 4
last $run --steps 2 --attn dfs --density 0.5
last $run --steps 2 --precision f32
last $run --steps 2 --crf 20
echo the same, said
last $run --steps 2 --cfg 5 --shift 5 --sampler unipc --fps 16 --measure-recall --checkpoint-every never
cmp v-001.png first.png && cmp v-001.png.json first.json || exit 1
echo another transformer
cp -r demo other
flip other/diffusion_pytorch_model-00002-of-00002.safetensors 128
last filigree generate -m other --prompt-file p.txt -W 32 -H 32 --frames 1 --steps 2 -o v.png --continue |
    sed 's/with [0-9a-f]*/with HASH/g'
echo replaced
filigree generate -m demo -p two -W 32 -H 32 --frames 1 --steps 3 -o v-002.png --force -q || exit 1
last $run --steps 2
last $run --steps 2 --force
last $run --steps 2
cmp v-001.png first.png || exit 1
: >v-002.png.json
last $run --steps 2
