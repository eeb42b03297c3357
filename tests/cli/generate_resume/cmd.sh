# A run that was told to stop, and one that was killed, go on from what they saved, with the same
# bytes in the end; what is no saved run is refused.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='-m demo -p x -W 64 -H 64 --frames 9 --steps 60 --threads 1' # 60 steps are 2 pages of events
filigree generate $run --save-latents whole -o whole.mp4 2>/dev/null || exit 1

# stop SIGNAL OPTION...: sends it when the run has begun to save.
stop() {
    signal=$1
    shift
    python3 "$CLI_TESTS/held.py" --signal "$signal" type=saved -- filigree generate $run \
        --save-latents part -o v.mp4 --checkpoint-every 1 "$@" 2>err
    echo "exit $?"
}

stop TERM
grep -c 'go on with: filigree generate --resume v.mp4.resume.safetensors' err
filigree generate $run -o v.mp4 2>&1 | grep -c 'exists already'
filigree generate --resume v.mp4.resume.safetensors --steps 3
echo "exit $?"
filigree generate --resume v.mp4.resume.safetensors --json 2>/dev/null >events
grep -q '"resumed_step":[1-9]' events || echo "nothing was resumed"
grep -q '"planned","steps":60,"done":[1-9][0-9]*,"estimate_seconds":[0-9]' events || echo "no estimate"
cmp whole part && cmp whole.mp4 v.mp4 || exit 1
rm part v.mp4 v.mp4.json

stop KILL
filigree generate --resume v.mp4.resume.safetensors 2>/dev/null || exit 1
cmp whole part && cmp whole.mp4 v.mp4 || exit 1
rm part v.mp4 v.mp4.json

filigree generate --resume whole
echo "exit $?"
filigree generate --resume missing
echo "exit $?"
filigree generate $run -o w.mp4 --checkpoint-every 5m
echo "exit $?"
rm -f .*.tmp* err events
ls
