cat >config.json <<'END'
{"_class_name": "WanModel", "dim": 128, "ffn_dim": 64, "num_heads": 2, "num_layers": 3, "in_dim": 4,
 "out_dim": 4, "text_dim": 16, "freq_dim": 32, "text_len": 20}
END
filigree bench dit --model-config config.json --grid 2,8,16 --layers 2 --attn dense,vsa,random \
    --density 0.5 --repetitions 1 --threads 1 --json | python3 -c '
import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert [r["attn"] for r in rows] == ["dense", "vsa", "random"]
for r in rows:
    assert (r["bench"], r["tokens"], r["layers"], r["threads"]) == ("dit", 256, 2, 1), r
    parts = [r[k + "_seconds"] for k in ("attention", "cross", "linear", "rest", "choose")]
    assert min(parts) >= 0 and abs(sum(parts) - r["seconds"]) < 1e-4 * r["seconds"] + 1e-6, r
    assert r["tflops"] > 0 and r["peak_tflops"] > 0 and r["peak_bytes"] > 0, r
assert rows[0]["density"] == 1 and 0.3 < rows[1]["density"] < 0.7 and rows[1]["of_amdahl"] > 0 and rows[2]["density"] == 0.5
'
