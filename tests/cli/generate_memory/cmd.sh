# Known before: nothing is begun that does not fit.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 512 -H 512 --max-memory 8M --threads 1 --save-latents l
