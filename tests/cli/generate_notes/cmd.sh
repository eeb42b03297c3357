# What made a video stands in it, and nothing of where its maker keeps things.
. "$CLI_TESTS/inputs.sh"
mkdir secret
demo_model secret/demo
filigree generate -m secret/demo -p "a red fox" -W 32 -H 32 --frames 1 --steps 2 --seed 5 \
    --save-latents secret/l --save-noise secret/n -o secret/a.png 2>/dev/null || exit 1
for ending in mp4 webm png; do
    filigree generate -m secret/demo -p "a red fox" -W 32 -H 32 --frames 1 --steps 2 --seed 5 \
        --noise secret/n --save-latents secret/l --force -o secret/a.$ending 2>err || {
        ! grep -q 'need the plug-in' err || { echo "no plug-in for video files" >&2; exit 77; }
        cat err >&2
        exit 1
    }
    grep -a -o '"prompt":"a red fox"' secret/a.$ending
    grep -a -o '"seed":5,"noise":"n"' secret/a.$ending
    grep -a -o '"dit":"[0-9a-f]\{64\}"' secret/a.$ending | wc -c
    grep -a -c 'secret\|_seconds' secret/a.$ending
done
filigree decode -m secret/demo -i secret/l -o d.mp4 2>/dev/null || exit 1
grep -a -o 'filigree [0-9]' d.mp4
