# Several prompts in one load give what each gives by itself.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf '# two foxes\na red fox\n\n   a blue fox in the long grass, slowly  \r\na red fox\n' >p.txt
run='filigree generate -m demo -W 64 -H 64 --frames 5 --steps 3 --seed 7 --threads 1'
$run --prompt-file p.txt -o out.png --save-latents l.safetensors --save-frames f 2>&1 | sed 's/:.*//'
echo "a png of five frames:"
$run --prompt-file p.txt --save-latents l.safetensors --save-frames f -q || exit 1
ls
$run -p 'a red fox' --save-latents x -q && cmp x l-001.safetensors || exit 1
$run -p 'a blue fox in the long grass, slowly' --save-latents y --save-frames g -q &&
    cmp y l-002.safetensors && cmp g f-002 || exit 1
cmp l-001.safetensors l-003.safetensors || exit 1
run='filigree generate -m demo -W 192 -H 128 --frames 5 --steps 3 --seed 7 --threads 1'
for attn in vsa auto; do
    # auto goes by the clock: what it warns of is not looked at
    $run --prompt-file p.txt --attn $attn --density 0.5 --save-latents $attn.l 2>/dev/null || exit 1
    $run -p 'a red fox' --attn $attn --density 0.5 --save-latents $attn.x 2>/dev/null || exit 1
    [ $attn = auto ] || cmp $attn.x $attn-003.l || exit 1
done
$run --prompt-file p.txt --save-latents v --plan | head -n 1
