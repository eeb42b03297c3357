# The whole way to an mp4; the latents beside it are gone at the end.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p "a red fox" -W 32 -H 32 --frames 5 --steps 2 --threads 1 -o a.mp4 \
    2>err || {
    ! grep -q 'need the plug-in' err || { echo "no plug-in for video files" >&2; exit 77; }
    cat err >&2
    exit 1
}
head -c 8 a.mp4 | tail -c 4
echo
ls
