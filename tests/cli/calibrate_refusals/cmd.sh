# One sentence each, before any work; and a table where it does not belong.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'a red fox\n' >p.txt
printf '\n \n' >empty.txt
printf 'a\0b\n' >nul.txt
run='-m demo -W 128 -H 128 --frames 9 --threads 1'
refused() {
    filigree calibrate $run -o t.safetensors "$@"
    echo "exit $?"
}
refused --prompt-file empty.txt
refused --prompt-file nul.txt
refused --prompt-file nowhere.txt
refused --prompt-file p.txt --steps 4 --step-groups 5
refused --prompt-file p.txt --order spiral
refused --prompt-file p.txt --density 0.5 --fidelity 0.5
refused --prompt-file p.txt --density 1.5
filigree calibrate -m demo -W 100 --prompt-file p.txt -o t.safetensors
echo "exit $?"
refused --prompt-file p.txt --max-memory 1M --steps 2 2>&1 | sed 's/needs.*/needs more/'
filigree calibrate $run --prompt-file p.txt -o t.safetensors --steps 2 2>/dev/null || exit 1
refused --prompt-file p.txt --steps 2
video() {
    filigree generate $run -p "a green sea" --attn west --save-latents l.safetensors "$@"
    echo "exit $?"
}
video --steps 2
video --steps 3 --topology t.safetensors
video --steps 2 --topology t.safetensors --shift 3
video --steps 2 --topology t.safetensors --sampler euler
video --steps 2 --topology t.safetensors --order raster
video --steps 2 --topology t.safetensors --density 0.0001
video --steps 2 --topology p.txt
ls
