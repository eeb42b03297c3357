# One block leaves nothing to choose: refused, or dense where that is allowed.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 16 -H 16 --frames 1 --steps 1 --attn dfs --density 0.3 \
    --save-latents l && exit 1
test ! -e l || exit 1
filigree generate -m demo -p x -W 16 -H 16 --frames 1 --steps 1 --attn dfs --density 0.3 \
    --fallback dense --save-latents l --json --threads 1 | grep -q '"density":1,' || exit 1
filigree generate -m demo -p x -W 16 -H 16 --frames 1 --steps 1 --attn dfs --density 0.3 \
    --min-tokens 64 --save-latents m --json --threads 1 | grep -q '"density":1,'
