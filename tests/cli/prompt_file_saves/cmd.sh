# Saves that failed are told at the end, for each video of a list, as a single run tells them.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'one\ntwo\n' >p.txt
run='filigree generate -m demo -W 64 -H 64 --frames 1 --steps 2 --threads 1 --checkpoint-every 1 --text-cache off -q'
(
    ulimit -f 48 || exit 77 # of 512 bytes: a picture fits, a checkpoint does not
    $run --prompt-file p.txt -o v.png 2>err
    echo "exit $?"
    $run -p one -o w.png 2>>err
    echo "exit $?"
)
grep note: err
ls v* w*
