# A second signal ends at once; verbs that are over soon end with the first one. The terminal is left
# with an empty line.
. "$CLI_TESTS/inputs.sh"
demo_model demo
python3 "$CLI_TESTS/on_terminal.py" --wait 'sample step' --signal INT --signal INT --signal INT \
    filigree generate -m demo -p x -W 256 -H 256 --frames 81 --steps 1000 --threads 1 \
    --save-frames a --checkpoint-every never >out
grep -c '^at' out
grep -c drawn out
python3 "$CLI_TESTS/on_terminal.py" --wait 'bench' --signal TERM \
    filigree bench attention --n 4096 --repetitions 99 --threads 1
