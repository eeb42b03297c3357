# One line that is redrawn, in colour unless NO_COLOR says no; a stop leaves the reason alone.
. "$CLI_TESTS/inputs.sh"
demo_model demo
run='filigree generate -m demo -p x -W 128 -H 128 --frames 81 --steps 1000 --threads 1'
python3 "$CLI_TESTS/on_terminal.py" --wait 'sample step' --signal INT $run --save-latents a
ls
NO_COLOR=1 python3 "$CLI_TESTS/on_terminal.py" --wait 'sample step' --signal TERM $run \
    --save-latents a --checkpoint-every never
echo "not drawn:"
python3 "$CLI_TESTS/on_terminal.py" --all $run --save-latents b --checkpoint-every never --plan --json |
    sed 's/{.*}/{}/'
python3 "$CLI_TESTS/on_terminal.py" --after 0.5 --signal TERM $run --quiet --save-latents c \
    --checkpoint-every never
