# Each part is asked for by name.
. "$CLI_TESTS/inputs.sh"
for part in Wan2.1_VAE.safetensors models_t5_umt5-xxl-enc-bf16.safetensors \
    google/umt5-xxl/spiece.model; do
    demo_model demo
    rm "demo/$part"
    filigree generate -m demo -p x --save-frames f; test $? = 3 || exit 1
done
rm -r demo
demo_model demo
rm demo/diffusion_pytorch_model*
filigree generate -m demo -p x --save-frames f; test $? = 3 || exit 1
