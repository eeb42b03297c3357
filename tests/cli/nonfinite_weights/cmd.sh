# One weight that is not a number ends a run with the part that it is in and the frame; no black
# video comes of it, and what was sampled can be gone on with.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='-p x -W 64 -H 64 --frames 5 --steps 2 --threads 1'
# spoil FOLDER FILE TENSOR: the demo's model with a NaN as the tensor's last value, in bf16
spoil() {
    cp -R demo "$1"
    python3 - "$1/$2" "$3" <<'PYTHON'
import json, struct, sys
with open(sys.argv[1], "r+b") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    tensor = json.loads(f.read(n))[sys.argv[2]]
    assert tensor["dtype"] == "BF16"
    f.seek(8 + n + tensor["data_offsets"][1] - 2)
    f.write(b"\xc0\x7f")
PYTHON
}
spoil vae Wan2.1_VAE.safetensors decoder.middle.0.residual.2.weight
spoil encoder Wan2.1_VAE.safetensors encoder.middle.0.residual.2.weight
spoil text models_t5_umt5-xxl-enc-bf16.safetensors blocks.0.ffn.fc2.weight

filigree generate -m vae $run -o v.y4m --checkpoint-every 1
echo "exit $?"
filigree generate --resume v.y4m.resume.safetensors -m demo -q || exit 1
filigree generate -m demo $run -o w.y4m --save-latents l -q || exit 1
cmp v.y4m w.y4m || exit 1
filigree decode -m vae -i l -o d.y4m
echo "exit $?"
filigree decode -m vae -i l -o d.y4m --vae-tiles -q
echo "exit $?"
filigree encode -m encoder -i w.y4m -o e
echo "exit $?"
filigree generate -m text $run --text-cache off -o t.y4m
echo "exit $?"
ls
