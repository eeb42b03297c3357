# Wherever it is stopped, the cursor stands at the beginning of an empty line.
. "$CLI_TESTS/inputs.sh"
demo_model demo
for delay in 0 0.03 0.06 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.5 0.6; do
    python3 "$CLI_TESTS/on_terminal.py" --after $delay --signal TERM \
        filigree generate -m demo -p x -W 128 -H 128 --frames 17 --steps 60 --threads 1 --preview 1 \
        --save-frames "a$delay" >out || exit 1
    grep '^at\|^wrapped' out && cat out
done
exit 0
