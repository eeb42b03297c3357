# --resume takes what a run has saved: of a video or a recipe one sentence says which file that is,
# and whether it lies there.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 32 -H 32 --frames 1 --steps 1 -q -o a.png || exit 1
resume() {
    filigree generate --resume "$1"
    echo "exit $?"
}
resume a.png
resume a.png.json
resume b.png
: >a.png.resume.safetensors
: >b.png.resume.safetensors
resume a.png
resume a.png.json
resume ./b.png
resume b.png.resume.safetensors
