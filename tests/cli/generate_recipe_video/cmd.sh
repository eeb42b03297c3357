# A picture or video is a recipe, but for where things lie.
. "$CLI_TESTS/inputs.sh"
demo_model demo
mkdir b
filigree generate -m demo -p 'a "fox"' -W 32 -H 32 --frames 1 --steps 3 --seed 3 --threads 1 --attn dfs --min-tokens 9 \
    --save-noise n -o a.png -q || exit 1
filigree generate --recipe a.png -m demo --threads 1 -o b/a.png -q && cmp a.png b/a.png || exit 1
filigree generate -m demo -p x -W 32 -H 32 --frames 1 --steps 2 --threads 1 --noise n -o c.png -q || exit 1
filigree generate --recipe c.png -m demo --threads 1 -o b/c.png -q && cmp c.png b/c.png || exit 1
filigree generate --recipe a.png -o d.png
echo "exit $?"
filigree generate --recipe a.png -m demo
echo "exit $?"
filigree generate --recipe a.png -m demo -o d.png --steps 4
echo "exit $?"
st l '{"latents":{"dtype":"F32","shape":[16,1,2,2],"data_offsets":[0,256]}}' 256
filigree decode -m demo --threads 1 -i l -o e.png -q || exit 1
filigree generate --recipe e.png -m demo -o d.png
echo "exit $?"
ls d.png 2>/dev/null
filigree generate -m demo -p x -W 32 -H 32 --frames 5 --steps 2 --threads 1 -o f.mp4 -q 2>/dev/null || exit 0 # no plug-in
filigree generate --recipe f.mp4 -m demo --threads 1 -o b/f.mp4 -q && cmp f.mp4 b/f.mp4
