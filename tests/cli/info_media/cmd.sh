# A picture or video says what it is, and which settings made it; where it has none, why.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run() {
    filigree generate -m demo -p 'a red fox' -n fog -W 32 -H 32 --steps 2 --seed 5 --threads 1 "$@" 2>err && return
    ! grep -q 'need the plug-in' err || { echo "no plug-in for video files" >&2; exit 77; }
    cat err >&2
    exit 1
}
run --frames 1 -o a.png --attn dfs --density 0.5 --min-tokens 9
filigree info a.png
filigree info -v a.png | grep -c ' -1'
for ending in mp4 webp y4m; do
    run --frames 5 --save-latents l -o v.$ending --force
    filigree info v.$ending >text || exit 1
    sed -n '/settings/q; p' text
    grep 'none:\|generate.prompt\|result.steps' text
    filigree info v.$ending --json >json || exit 1
    head -n 1 json | sed 's/"file_bytes":[0-9]*/"file_bytes":N/'
    grep -c '"type":"setting"' json
done
filigree decode -m demo -i l -o d.mp4 -q --threads 1 && filigree info d.mp4 | grep -v size
filigree info a.png --json | grep '"name":"\(seed\|density\)"'
