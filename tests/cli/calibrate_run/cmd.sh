# A table is made, says what it is, and generate looks its masks up in it.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'a red fox\na blue ball\n' >p.txt
run='-m demo -W 128 -H 128 --frames 9 --steps 2 --threads 1'
# Slow machines tell their progress on stderr.
filigree calibrate $run --prompt-file p.txt -o t.safetensors --density 0.9 --json >out 2>told || exit 1
grep -v '"type":"\(phase\|phase_end\|step\|progress\|warning\)"' out | sed 's/"\([a-z_]*\)":[^,}]*/\1/g'
filigree info t.safetensors | sed -n '/^name/,$p'
video() {
    filigree generate $run -p "a green sea" --attn west --topology t.safetensors \
        --save-latents l.safetensors --force --json "$@" 2>>told | grep -o '"density":[^,]*' |
        awk -F: -v most="$1$2" '{ print ($2 > 0 && $2 <= 1) ? "ok" : "density " $2 }'
}
video
video --density 0.9
video --density 1.0
video --density 0.95 --budgets error --tail on
rm told
ls
