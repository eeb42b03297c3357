# A text encoder as a GGUF file gives the latents of the file that it was made from.
[ -d "${FIL_FIXTURES:-}" ] || { echo "no FIL_FIXTURES" >&2; exit 77; }
python3 "$CLI_TESTS/make_gguf_t5.py" "$FIL_FIXTURES/pipeline/text_encoder/model.safetensors" \
    umt5.gguf || exit
say() {
    filigree generate -m "$FIL_FIXTURES/pipeline" "$@" -p "A red fox." -W 96 -H 80 --frames 1 \
        --steps 2 --seed 1 -o a.png --force 2>err || { cat err >&2; exit 1; }
}
say --save-latents a.safetensors
say --t5 umt5.gguf --save-latents b.safetensors
cmp a.safetensors b.safetensors && echo same
