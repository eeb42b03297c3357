# A list that was stopped goes on: what stands is left alone, what was begun goes on, with the same
# bytes in the end.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'one\ntwo\nthree\n' >p.txt
run='filigree generate -m demo --prompt-file p.txt -W 32 -H 32 --frames 5 --steps 60 --threads 1'
$run --save-latents whole -q || exit 1
held="python3 $CLI_TESTS/held.py type=saved path=part-002.resume.safetensors --" # 60 steps are 2 pages
$held $run --save-latents part -q --checkpoint-every 1 2>err
echo "exit $?"
tail -n 1 err
ls part-*
$run --save-latents part --plan --continue | head -n 1
$run --save-latents part --continue 2>err || exit 1
tail -n 1 err
for i in 001 002 003; do
    cmp whole-$i part-$i || exit 1
done
$run --save-latents part --continue
echo "exit $?"
$run --save-latents part
echo "exit $?"
filigree generate -m demo --prompt-file p.txt -W 32 -H 32 --frames 1 --steps 1 -q -o v.png || exit 1
printf 'one\nother\nthree\nfour\n' >p.txt
filigree generate -m demo --prompt-file p.txt -W 32 -H 32 --frames 1 --steps 1 -o v.png --continue
echo "exit $?"
printf 'one\ntwo\nthree\nfour\n' >p.txt
filigree generate -m demo --prompt-file p.txt -W 32 -H 32 --frames 1 --steps 1 -o v.png --continue \
    2>err || exit 1
tail -n 1 err
ls v-*
