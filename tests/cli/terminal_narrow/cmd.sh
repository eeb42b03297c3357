# Nothing wraps, however narrow the terminal is.
. "$CLI_TESTS/inputs.sh"
demo_model demo
for columns in 10 20 33 60 200; do
    python3 "$CLI_TESTS/on_terminal.py" --columns $columns --wait 'sample' --after 0.5 --signal INT \
        filigree generate -m demo -p x -W 128 -H 128 --frames 81 --steps 1000 --threads 1 \
        --save-frames a --checkpoint-every never >out || exit 1
    grep -c wrapped out
    grep -x 'exit 75\|drawn' out
done
