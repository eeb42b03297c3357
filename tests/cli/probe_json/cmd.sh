# What is computed is told, written and read again: a mask file that probe wrote gives the same.
python3 "$CLI_TESTS/make_qkv.py" x.safetensors 480 2 4,10,12
filigree probe --qkv x.safetensors --attn dfs --density 0.3 --mask-out m.safetensors \
    --out o.safetensors --json --repetitions 1 >a.json || exit 1
filigree probe --qkv x.safetensors --grid 4,10,12 --mask m.safetensors --json --repetitions 1 \
    >b.json || exit 1
filigree probe --qkv x.safetensors --policy dense --json --repetitions 1 >c.json || exit 1
python3 -c '
import json
a, b, c = (json.load(open(n + ".json")) for n in "abc")
assert (a["type"], a["policy"], a["tokens"], len(a["heads"])) == ("probe", "dfs", 480, 2), a
assert 0 < a["density"] < 0.5 and 0 < a["recall_min"] <= a["recall_p5"] <= a["recall"] < 1, a
assert a["rel_l2"] > 0 and a["heads"][1]["head"] == 1, a
assert abs(sum(h["density"] for h in a["heads"]) / 2 - a["density"]) < 1e-5, a
for key in ("density", "recall", "rel_l2", "psnr"):
    assert a[key] == b[key], (key, a[key], b[key])
assert c["density"] == 1 and c["recall"] > 1 - 1e-6 and c["rel_l2"] < 1e-6, c
'
