# A prompt of more than 512 tokens is cut, and that is said.
. "$CLI_TESTS/inputs.sh"
demo_model demo
prompt=$(awk 'BEGIN { for (i = 0; i < 600; i++) printf "fox " }')
filigree generate -m demo -p "$prompt" --cfg 1 --plan --save-frames f --threads 1 | grep prompts
