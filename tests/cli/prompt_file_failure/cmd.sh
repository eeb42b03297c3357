# A prompt that cannot be made leaves the others be: it is named at once and at the end, and the exit
# code is its own.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'one\ntwo\nthree\n' >p.txt
size='-W 32 -H 32 --frames 5 --steps 60 --threads 1'
run="filigree generate -m demo --prompt-file p.txt $size"
$run --save-latents whole -q || exit 1
held="python3 $CLI_TESTS/held.py type=saved --" # 60 steps are 2 pages
$held filigree generate -m demo -p two $size --checkpoint-every 1 --save-latents part-002 -q 2>/dev/null
flip part-002.resume.safetensors 255
$run --save-latents part --continue 2>err
echo "exit $?"
grep -v -e pixels -e 'about .* of memory' -e ' begins$' -e ' ended after ' -e ' so far' err # a slow machine's
ls part-*
cmp whole-001 part-001 && cmp whole-003 part-003 || exit 1
$run --save-latents part --continue -q
echo "exit $?"
$run --save-latents part --continue --json 2>/dev/null >out
echo "exit $?"
python3 - <<'END'
import json
events = [json.loads(line) for line in open("out")]
failed = [e for e in events if e["type"] == "failed"]
print(len(failed), failed[0]["video"], failed[0]["path"], failed[0]["status"], failed[0]["exit"], failed[0]["while"])
print(events[-1])
END
rm part-002.resume.safetensors
$run --save-latents part --continue -q && cmp whole-002 part-002 && ls part-*
