# Tiles give other bytes than whole frames, the same each time, and leave nothing behind.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 272 -H 64 --frames 5 --steps 1 --cfg 1 --threads 1 \
    --save-latents l 2>/dev/null || exit 1
decode() { filigree decode -m demo -i l "$@" 2>/dev/null || exit 1; }
decode --threads 1 --save-frames whole
decode --threads 1 --save-frames one --vae-tiles
decode --threads 2 --save-frames two --vae-tiles
cmp one two || exit 1
cmp -s whole one && exit 1
ls
