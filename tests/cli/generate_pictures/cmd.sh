# A picture a frame: the folder is made when the run begins, the pictures are the frames, those that
# are there stay without --force, and one behind the last is not passed off as a frame.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run() {
    n=$1
    shift
    filigree generate -m demo -p "a red fox" -W 32 -H 48 --frames "$n" --steps 1 --threads 1 "$@" 2>err
    code=$?
    grep -v 'note:' err >&2
    return $code
}
run 5 -o "pics/f%03d.png" --plan >/dev/null || exit 1
test -e pics && echo "the folder is there already"
run 5 -o "pics/f%03d.png" --save-frames frames.safetensors || exit 1
ls pics
filigree compare "pics/f%03d.png" frames.safetensors --json | grep -o '"frames":5,"width":32,"height":48,"equal":true'
filigree encode -m demo -i "pics/f%03d.png" -o a 2>/dev/null || exit 1
filigree encode -m demo -i frames.safetensors -o b 2>/dev/null || exit 1
cmp a b || exit 1
run 5 -o "pics/f%03d.png"; echo "exit $?"
run 5 -o "pics/f%03d.png" --force; echo "exit $?"
run 1 -o "pics/f%03d.png" --force; echo "exit $?"
run 5 -o "pics/%s.png"; echo "exit $?"
run 5 -o "no/such/%d.png"; echo "exit $?"
grep -a -c '{"filigree":' pics/f004.png
filigree encode -m demo -i "pics/%d.png" -o c; echo "exit $?"
