# A run that is repeated with another transformer says so and goes on; one that is resumed is refused.
. "$CLI_TESTS/inputs.sh"
demo_model demo
cp -r demo other
flip other/diffusion_pytorch_model-00002-of-00002.safetensors 128
run='-p x -W 32 -H 32 --frames 1 --threads 1 -q'
filigree generate -m demo $run --steps 2 -o a.png || exit 1
echo "the same model:"
filigree generate --recipe a.png.json -q -o b.png 2>&1 && cmp a.png b.png || exit 1
echo "another:"
filigree generate --recipe a.png.json -m other -q -o c.png 2>&1 || exit 1
cmp -s a.png c.png && echo "nothing differs"
filigree generate --recipe a.png -m other -q -o d.png 2>&1 && cmp c.png d.png || exit 1
filigree generate --recipe a.png.json -m other -q -o e.png --plan 2>&1 >plan || exit 1
filigree generate --recipe a.png.json -m other -q -o e.png --json 2>/dev/null | grep warning
echo "what that made:"
filigree generate --recipe c.png.json -q -o f.png 2>&1 && cmp c.png f.png || exit 1
sed 's/"dit": "../"dit": "?/' a.png.json >broken.json
filigree generate --recipe broken.json -q -o g.png
echo "exit $?"
python3 "$CLI_TESTS/held.py" type=saved -- filigree generate -m demo $run --steps 60 \
    --checkpoint-every 1 -o h.png 2>/dev/null
echo "exit $?"
filigree generate --resume h.png.resume.safetensors -m other -q
echo "exit $?"
filigree generate --recipe h.png.resume.safetensors -m other -q -o i.png 2>&1 || exit 1
filigree generate --resume h.png.resume.safetensors -q && ls h.*
