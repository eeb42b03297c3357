# A video file is measured if that is wanted; it is near the frames it was made of.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 32 -H 48 --frames 5 --steps 1 --threads 1 --save-frames f \
    -o v.mp4 2>err || {
    grep -q plug-in err && { echo "no plug-in for video files" >&2; exit 77; }
    exit 1
}
filigree compare v.mp4 f; echo "exit $?"
filigree compare v.mp4 f --lossy --json | grep -o '"frames":5,"width":32,"height":48,"equal":false'
