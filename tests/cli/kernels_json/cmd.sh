# Each line is one object.
filigree kernels --json | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert len({r["kernel"] for r in rows}) == len(rows) and len(rows) > 5
assert all(r["type"] == "kernel" and r["available"] == (r["reason"] == "") for r in rows)
'
