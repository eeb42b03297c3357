# With --json every line of stdout is one JSON object with a type.
. "$CLI_TESTS/inputs.sh"
sharded m
two m/vae.safetensors
echo broken >m/z.safetensors
for path in m m/vae.safetensors m/model.safetensors.index.json m/z.safetensors missing; do
    filigree info -v --json "$path" 2>/dev/null
done | python3 -c 'import json, sys; print(sorted({json.loads(line)["type"] for line in sys.stdin}))'
