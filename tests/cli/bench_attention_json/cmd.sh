# Every field that scripts rely on.
for mask in random window frames; do
    filigree bench attention --n 500 --heads 2 --density 0.3 --mask $mask --threads 1 \
        --repetitions 2 --json || exit
done >result
python3 -c '
import json
rows = [json.loads(line) for line in open("result")]
assert [r["mask"] for r in rows] == ["random", "window", "frames"]
for r in rows:
    assert r["bench"] == "attention" and r["n"] == 500 and r["heads"] == 2
    assert r["head_dim"] == 128 and r["threads"] == 1 and r["repetitions"] == 2
    assert 0.2 < r["density"] < 0.45
    for key in ("seconds", "tflops", "peak_tflops", "dense_seconds"):
        assert r[key] > 0, key
    assert abs(r["fraction_of_peak"] / (r["tflops"] / r["peak_tflops"]) - 1) < 1e-4
    ratio = r["density"] * r["dense_seconds"] / r["seconds"]
    assert abs(r["sparse_efficiency"] / ratio - 1) < 1e-4
'
