# A DiT as a GGUF file, named or in the folder of the other parts: the same latents.
[ -d "${FIL_FIXTURES:-}" ] || { echo "no FIL_FIXTURES" >&2; exit 77; }
gguf=$FIL_FIXTURES/gguf/wan_tiny_q4_0_mix.gguf
say() {
    filigree generate "$@" -p "A red fox." -W 96 -H 80 --frames 1 --steps 2 --seed 1 \
        --precision f32 -o a.png --force 2>err || { cat err >&2; exit 1; }
}
say -m "$FIL_FIXTURES/pipeline" --dit "$gguf" --save-latents a.safetensors
mkdir m
cp -r "$FIL_FIXTURES/pipeline/text_encoder" "$FIL_FIXTURES/pipeline/vae" \
    "$FIL_FIXTURES/pipeline/tokenizer" m
cp "$gguf" m/wan-q4_0.gguf
say -m m --save-latents b.safetensors
cmp a.safetensors b.safetensors && echo same
