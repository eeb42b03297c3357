# One sentence each, before anything is computed.
python3 "$CLI_TESTS/make_qkv.py" x.safetensors 24 1
filigree probe; test $? = 2 || exit 1
filigree probe --qkv none.safetensors; test $? = 5 || exit 1
filigree probe --qkv x.safetensors; test $? = 2 || exit 1
filigree probe --qkv x.safetensors --grid 2,3,5; test $? = 3 || exit 1
filigree probe --qkv x.safetensors --grid 2,3; test $? = 2 || exit 1
filigree probe --qkv x.safetensors --grid 2,3,4 --attn none; test $? = 2 || exit 1
filigree probe --qkv x.safetensors --grid 2,3,4 --attn vsa --density 1.5; test $? = 2 || exit 1
filigree probe --qkv x.safetensors --grid 2,3,4 --attn vsa --density 0.5 --gate on; test $? = 3 || exit 1
filigree probe --qkv x.safetensors --grid 2,3,4 --attn west; test $? = 2 || exit 1
filigree probe --qkv x.safetensors --grid 2,3,4 --attn vsa --mask m; test $? = 2 || exit 1
: >m.safetensors
filigree probe --qkv x.safetensors --grid 2,3,4 --mask-out m.safetensors; test $? = 5 || exit 1
filigree probe --qkv x.safetensors --grid 2,3,4 --mask-out a --out a; test $? = 2 || exit 1
cp x.safetensors y.safetensors
filigree probe --qkv x.safetensors --grid 2,3,4 --out ./x.safetensors --force; test $? = 2 || exit 1
cmp x.safetensors y.safetensors || exit 1
