# Each format has its own first bytes, is near the frames it was made of, and is the same when the run
# is repeated from its recipe in another folder.
. "$CLI_TESTS/inputs.sh"
demo_model demo
for ending in webm y4m webp; do
    filigree generate -m demo -p "a red fox" -W 128 -H 128 --frames 5 --steps 2 --attn dfs --density 0.5 \
        --save-latents l --save-frames f -o a.$ending --force 2>err || {
        ! grep -q 'need the plug-in' err || { echo "no plug-in for video files" >&2; exit 77; }
        cat err >&2
        exit 1
    }
    mkdir -p other
    filigree generate --recipe a.$ending.json --threads 1 -o other/b.$ending 2>/dev/null || exit 1
    cmp a.$ending other/b.$ending || exit 1
    test $ending = webp || filigree compare a.$ending f --lossy --json |
        grep -o '"frames":5,"width":128,"height":128,"equal":false'
done
head -c 65 a.y4m
head -c 4 a.webp
echo
for output in a.mkv 'b.webm --crf 64' 'b.mp4 --crf 52'; do
    filigree decode -m demo -i l -o $output
done
rm -r other err
ls
