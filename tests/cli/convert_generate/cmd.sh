# Parts of a model, converted, take the place of the originals: the same frames where nothing is lost.
. "$CLI_TESTS/inputs.sh"
demo_model demo
say() {
    filigree generate -m demo "$@" -p fox -W 64 -H 64 --frames 1 --steps 2 --threads 1 \
        --save-frames "$out" --force 2>err || { cat err >&2; exit 1; }
}
to() { filigree convert "$@" 2>err || { cat err >&2; exit 1; }; }
out=a.safetensors say
to demo/diffusion_pytorch_model.safetensors.index.json -o dit.gguf
to dit.gguf -o dit.safetensors --type f32 --names diffusers
to demo/models_t5_umt5-xxl-enc-bf16.safetensors -o t5.gguf 2>/dev/null
to demo/Wan2.1_VAE.safetensors -o vae.gguf 2>/dev/null
for part in "--dit dit.gguf" "--dit dit.safetensors" "--t5 t5.gguf" "--vae vae.gguf"; do
    out=b.safetensors say $part
    cmp a.safetensors b.safetensors && echo "$part: same"
done
to demo/diffusion_pytorch_model.safetensors.index.json -o q.gguf --type q8_0
out=q.safetensors say --dit q.gguf
filigree info q.gguf | sed -n '/general/p; /^Q8_0/p'
