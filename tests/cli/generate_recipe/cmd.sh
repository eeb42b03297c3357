# A run is repeated from the JSON that lies beside its video, auto's clock included; what is no recipe
# is refused, and an option beside it is not ignored.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p 'a "fox"' -W 128 -H 128 --frames 5 --steps 4 --seed 3 --fps 8 \
    --attn auto --density 0.6 --save-latents a.l -o a.mp4 2>/dev/null || exit 1
ls
filigree generate --recipe a.mp4.json
echo "exit $?"
filigree generate --recipe a.mp4.json --save-latents b.l -o b.mp4 --threads 1 2>/dev/null || exit 1
cmp a.l b.l && cmp a.mp4 b.mp4 || exit 1
filigree generate --recipe a.mp4.json --steps 3 -o c.mp4
echo "exit $?"
filigree generate --recipe a.mp4.json --resume b
echo "exit $?"
sed 's/"seed": 3/"seed": 4/' a.mp4.json >c.json
filigree generate --recipe c.json --save-latents c.l 2>/dev/null || exit 1
cmp -s a.l c.l && echo "the seed did not count"
sed 's/"seed": 3/"sed": 4/' a.mp4.json >d.json
filigree generate --recipe d.json --save-latents d.l
echo "exit $?"
filigree generate --recipe a.l --save-latents d.l
echo "exit $?"
sed 's/"flags": 0/"flags": 1/' a.mp4.json >e.json
filigree generate --recipe e.json --save-latents e.l 2>e.err && cmp a.l e.l || exit 1
grep trusted e.err
filigree generate --recipe e.json --trusted --save-latents f.l 2>f.err || exit 1
grep trusted f.err
python3 - <<'END'
import json
r = json.load(open("a.mp4.json"))
assert r["generate"]["prompt"] == 'a "fox"' and r["policy"]["dense_from"] >= 0
assert 0 < r["result"]["density"] <= 1 and r["result"]["shift"] == 5 and len(r["dit"]) == 64
END
