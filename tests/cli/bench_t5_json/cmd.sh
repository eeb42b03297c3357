for p in bf16 f32; do
    filigree bench t5 --tokens 5 --layers 1 --precision $p --repetitions 1 --json || exit
done | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert len(rows) == 2
for r in rows:
    assert (r["bench"], r["tokens"], r["layers"], r["density"]) == ("t5", 5, 1, 1)
    assert r["attention_seconds"] > 0 and r["linear_seconds"] > 0 and r["peak_bytes"] > 0
    parts = r["attention_seconds"] + r["cross_seconds"] + r["linear_seconds"] + r["rest_seconds"]
    assert abs(parts - r["seconds"]) <= 1e-4 * r["seconds"]
'
