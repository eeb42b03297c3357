# A decode that is told to stop goes on where it was, with the same bytes; frames of other latents do
# not count, and those that are kept are not thrown away unasked.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 64 -H 64 --frames 29 --steps 1 --save-latents l 2>/dev/null || exit 1
filigree generate -m demo -p y -W 64 -H 64 --frames 29 --steps 1 --save-latents k 2>/dev/null || exit 1
filigree decode -m demo -i l --threads 1 -o whole.y4m 2>/dev/null || exit 1

# stop: after 9 frames and more.
stop() {
    filigree decode -m demo -i l --threads 1 -o v.y4m 2>err &
    job=$!
    n=0
    until [ "$(wc -c 2>/dev/null <v.y4m.frames)" -gt 112000 ] 2>/dev/null || [ $n = 3000 ]; do
        sleep 0.01
        n=$((n + 1))
    done
    kill -TERM $job
    wait $job 2>/dev/null
    echo "exit $?"
    grep -c 'frames are kept; the same command with --resume' err
}
stop
filigree decode -m demo -i l --threads 1 -o v.y4m
echo "exit $?"
filigree decode -m demo -i l --threads 1 -o v.y4m --resume 2>/dev/null
cmp whole.y4m v.y4m || exit 1
rm v.y4m

stop
filigree decode -m demo -i k --threads 1 -o v.y4m --resume --verbose 2>err || exit 1
grep -c 'were made of something else' err
filigree decode -m demo -i k --threads 1 -o w.y4m 2>/dev/null
cmp w.y4m v.y4m || exit 1
rm err
ls
echo mine >x.y4m.frames
filigree decode -m demo -i k -o x.y4m --resume
echo "exit $?"
cat x.y4m.frames
