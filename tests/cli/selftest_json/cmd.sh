# One object per available kernel, then the total.
filigree selftest --json >result
filigree kernels --json | grep -c '"available":true' >n
python3 -c '
import json, sys
rows = [json.loads(line) for line in open("result")]
total = rows.pop()
assert total["type"] == "total" and total["failed"] == 0
assert len(rows) == total["kernels"] == int(open("n").read())
assert all(r["type"] == "selftest" and r["passed"] and 0 <= r["error"] <= 1 for r in rows)
'
