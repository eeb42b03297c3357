# One decode of the smallest latent; every field is there, and the parts add up.
filigree bench vae --grid 1,2,2 --repetitions 1 --threads 1 --json >out.json || exit
python3 - <<'END'
import json
r = json.load(open("out.json"))
for key in ("tokens", "layers", "threads", "density", "tflops", "peak_tflops", "peak_bytes"):
    assert r[key] > 0, key
assert r["bench"] == "vae" and r["tokens"] == 4 and r["cross_seconds"] == 0
parts = sum(r[k + "_seconds"] for k in ("attention", "cross", "linear", "rest"))
assert abs(parts - r["seconds"]) <= 1e-3 * r["seconds"], parts
END
