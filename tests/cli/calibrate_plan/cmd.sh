# Work, bytes and memory are known before; nothing is written.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'a red fox\n\n  a blue ball\r\nwaves at night' >p.txt
plan() {
    filigree calibrate -m demo --prompt-file p.txt -o t.safetensors --plan --threads 1 "$@"
}
plan | grep -v memory || exit 1
plan --steps 4 --cfg 1 --block 128 --split-passes | grep -e prompts -e '^maps'
plan --steps 4 --step-groups 2 --split-passes --levels 16 | grep -e '^maps' -e file
plan -W 64 -H 64 --frames 5 --steps 4 --json | sed 's/,"measure_bytes.*/}/'
ls
