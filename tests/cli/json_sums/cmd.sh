# The sums of the JSON lines agree with its total.
. "$CLI_TESTS/inputs.sh"
sharded m
two m/vae.safetensors
filigree info --json m | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
total = rows[-1]
for kind in ("file", "tensor", "dtype"):
    print(kind, sum(r["bytes"] for r in rows if r["type"] == kind) == total["bytes"])
print(sum(r["type"] == "tensor" for r in rows) == total["tensors"])'
