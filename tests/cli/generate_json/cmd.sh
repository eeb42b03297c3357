. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p "a red fox" -W 32 -H 32 --frames 1 --steps 1 --threads 1 -o a.png \
    --json
