for e in none gelu silu gate; do
    filigree bench linear --m 20 --k 30 --n 10 --epilogue $e --repetitions 1 --json || exit
done | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert [r["epilogue"] for r in rows] == ["none", "gelu", "silu", "gate"]
assert all((r["m"], r["k"], r["n"]) == (20, 30, 10) and r["plain_seconds"] > 0 for r in rows)
'
filigree bench linear --m 20 --k 30 --n 10 --in-place --repetitions 1 --json | grep -q '"in_place":true' || exit
filigree bench linear --m 20 --k 30 --n 10 --repetitions 1 --json | grep -q '"in_place":false' || exit
filigree bench linear --m 20 --k 32 --n 10 --weights q8_0 --repetitions 1 --json | grep -q '"weights":"q8_0"' || exit
filigree bench linear --m 20 --k 256 --n 10 --weights q4_k --repetitions 1 --json | grep -q '"weights":"q4_k"' || exit
filigree bench linear --m 20 --k 33 --n 10 --weights q8_0 --json
filigree bench linear --m 20 --k 32 --n 10 --weights q8_0 --in-place --json
true
