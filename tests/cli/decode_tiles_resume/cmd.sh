# A decode in tiles that is told to stop, or killed, goes on with what it has decoded, with the same
# bytes in the end; what is of other latents does not count, and without --resume it is no loss.
. "$CLI_TESTS/inputs.sh"
demo_model demo
size='-W 272 -H 64 --frames 29 --steps 1 --cfg 1 --threads 1'
filigree generate -m demo -p x $size --save-latents l 2>/dev/null || exit 1
filigree generate -m demo -p y $size --save-latents k 2>/dev/null || exit 1
decode() { filigree decode -m demo --vae-tiles --threads 1 "$@"; }
decode -i l -o whole.y4m 2>/dev/null || exit 1

# stop SIGNAL: within the first tile, where it has 9 frames and more, each of 3 x 64 x 256 floats.
stop() {
    filigree decode -m demo --vae-tiles --threads 1 -i l -o v.y4m 2>err &
    job=$!
    n=0
    until [ "$(wc -c 2>/dev/null <v.y4m.frames)" -gt 1800000 ] 2>/dev/null || [ $n = 3000 ]; do
        sleep 0.01
        n=$((n + 1))
    done
    kill -$1 $job
    wait $job 2>/dev/null
    echo "exit $?"
    test -e v.y4m && echo "it was done already"
    test -e v.y4m.frames || echo "nothing is kept"
}
stop TERM
cat err
decode -i l -o v.y4m
echo "exit $?"
decode -i l -o v.y4m --resume 2>/dev/null
cmp whole.y4m v.y4m || exit 1
rm v.y4m

stop KILL
ls -A | grep -c 'filigree-.*tmp' # of the video
decode -i l -o v.y4m --resume 2>/dev/null
ls -A | grep -c 'filigree-.*tmp'
cmp whole.y4m v.y4m || exit 1
rm v.y4m

stop TERM
decode -i k -o v.y4m --resume 2>err || exit 1
grep -c 'were made of something else' err
decode -i k -o w.y4m 2>/dev/null
cmp w.y4m v.y4m || exit 1
rm err
ls
