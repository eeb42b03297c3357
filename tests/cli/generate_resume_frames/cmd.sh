# A run that is told to stop, or killed, while it decodes goes on behind the frames that it has decoded,
# with the same video in the end.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='-m demo -p x -W 64 -H 64 --frames 29 --steps 1 --threads 1'
filigree generate $run -o whole.mp4 2>err || {
    ! grep -q 'need the plug-in' err || { echo "no plug-in for video files" >&2; exit 77; }
    cat err >&2
    exit 1
}
kept=v.mp4.resume.safetensors.frames

for signal in TERM KILL; do
    filigree generate $run -o v.mp4 2>err &
    job=$!
    n=0
    # 9 frames and more
    until [ "$(wc -c 2>/dev/null <$kept)" -gt 112000 ] 2>/dev/null || [ $n = 3000 ]; do
        sleep 0.01
        n=$((n + 1))
    done
    kill -$signal $job
    wait $job 2>/dev/null
    echo "exit $?"
    test -e v.mp4 && echo "it was done already"
    test -e $kept || echo "no frame is kept"
    filigree generate --resume v.mp4.resume.safetensors 2>err || exit 1
    cmp whole.mp4 v.mp4 || exit 1
    rm v.mp4 v.mp4.json
done
rm -f err
ls
ls -A | grep tmp && echo "a temporary file is left"
exit 0
