# A disk that is too small is told before any work, with what is needed and what is free; what lies on
# another one does not count, and what fits is made.
. "$CLI_TESTS/inputs.sh"
demo_model demo
mkdir small
cat >on_a_small_disk.sh <<'END'
mount -t tmpfs -o size=256k none small || exit 77
size='-W 64 -H 64 --frames 17 --steps 2 --threads 1'
refused() {
    "$@" -q
    echo "exit $?"
    ls -A small
}
run="filigree generate -m demo $size"
refused $run -p x --save-frames small/f
refused $run -p x --save-frames small/f --save-noise small/n --plan
$run -p x --save-frames small/f --save-latents l --checkpoint-every never -q && rm small/f || exit 1
echo "no room to keep frames, too:"
$run -p x -o small/v.y4m --save-frames f -q 2>&1 && ls -A small && rm small/* || exit 1
refused filigree decode -m demo -i l -o small/v.y4m --save-frames small/f
printf 'one\ntwo\nthree\n' >p.txt
refused $run --prompt-file p.txt -o small/v.y4m --checkpoint-every never
head -n 2 p.txt >q.txt
$run --prompt-file q.txt -o small/v.y4m --checkpoint-every never -q && rm small/* || exit 1
head -c 258048 /dev/zero >small/full
refused filigree encode -m demo -i f -o small/k
refused filigree calibrate -m demo --prompt-file p.txt $size -o small/t
END
unshare -rm true 2>/dev/null || {
    echo "unshare makes no namespace here" >&2
    exit 77
}
unshare -rm sh on_a_small_disk.sh
code=$?
[ $code != 77 ] || echo "no file system can be mounted here" >&2
exit $code
