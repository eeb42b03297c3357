# One object per problem and kernel; one kernel is chosen for each problem.
filigree kernels --explain --json | python3 -c '
import collections, json, sys
chosen = collections.Counter()
for row in map(json.loads, sys.stdin):
    assert row["type"] == "choice" and row["chosen"] == (row["reason"] == "")
    chosen[row["family"], row["problem"]] += row["chosen"]
assert len(chosen) > 5 and set(chosen.values()) == {1}
'
