# A file that may not grow further is a failed write, told as one, and no end of the process: what was
# saved stays, and the line that says how to go on is one for a shell.
. "$CLI_TESTS/inputs.sh"
demo_model demo
(
    ulimit -f 1200 || exit 77 # of 512 bytes
    filigree generate -m demo -p x -W 128 -H 128 --frames 17 --steps 2 --save-frames "a film's" \
        -q 2>err
    echo "exit $?"
)
cat err
ls
eval "$(sed -n 's/.*go on with: //p' err) -q" 2>err || cat err
ls
