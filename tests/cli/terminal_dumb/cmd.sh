# A terminal that cannot redraw gets the lines of a file.
. "$CLI_TESTS/inputs.sh"
demo_model demo
TERM_FOR_TEST=dumb python3 "$CLI_TESTS/on_terminal.py" --wait 'sample' --signal INT \
    filigree generate -m demo -p x -W 128 -H 128 --frames 81 --steps 1000 --threads 1 \
    --save-frames a --checkpoint-every never >out
grep -q '^filigree: sample ' out && echo said
tail -n 1 out
