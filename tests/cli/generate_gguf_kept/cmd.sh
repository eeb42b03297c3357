# Matrices in Q8_0 stay so in memory, read or mapped; streamed they are converted. The same latents
# each time.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree convert demo/diffusion_pytorch_model.safetensors.index.json -o q.gguf --type q8_0 2>/dev/null || exit 1
run() {
    filigree generate -m demo -p fox -W 64 -H 64 --frames 1 --steps 2 --threads 1 "$@" 2>err ||
        { cat err >&2; exit 1; }
}
for dit in demo/diffusion_pytorch_model.safetensors.index.json q.gguf; do
    run --dit $dit --save-latents x --plan --json >plan
    cat plan >>plans
done
python3 -c '
import json
a, b = [p for p in map(json.loads, open("plans")) if p["type"] == "plan"]
print("kept", a["blocks_kept"], b["blocks_kept"])
print("less than three quarters of the memory:", 4 * b["weight_bytes"] < 3 * a["weight_bytes"])'
run --dit q.gguf --save-latents x --plan | grep -c 'as the file has them'
run --dit q.gguf -o a.png --save-latents a
run --dit q.gguf --trusted --save-latents b
cmp a b && echo mapped: same
run --dit q.gguf --stream-weights --save-latents c
run --dit q.gguf --stream-weights --save-latents x --plan --json | grep -o '"stream_weights":1'
cmp a c && echo streamed: same
filigree generate --recipe a.png.json --save-latents d -o d.png 2>/dev/null || exit 1
cmp a d && echo again: same
