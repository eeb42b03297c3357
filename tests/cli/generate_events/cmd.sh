# With --json everything that happens is an object on a line of its own, and the last is the result.
. "$CLI_TESTS/inputs.sh"
demo_model demo
long=$(yes fox | head -n 600 | tr '\n' ' ')
filigree generate -m demo -p "$long" -W 64 -H 64 --frames 5 --steps 4 --threads 1 --save-latents l \
    --preview 3 --save-frames f --checkpoint-every 2 --json 2>/dev/null >out || exit 1
filigree decode -m demo -i l --save-frames g --json -q >out2 || exit 1
filigree encode -m demo -i f -o l2 --json -q >out3 || exit 1
python3 - <<'END'
import json
for name in "out", "out2", "out3":
    events = [json.loads(line) for line in open(name)]
    for e in events:
        if e["type"] == "progress":
            assert 0 <= e["share"] <= 1 and e["phase"] and e["done"] <= e["total"]
    events = [e for e in events if e["type"] != "progress"]  # by the clock
    print(" ".join(e["type"] for e in events))
    for e in events:
        if e["type"] in ("phase", "phase_end"):
            assert 0 <= e["done"] <= e["total"]
            print(e["type"], e["phase"], e["total"] if e["phase"] == "sample" else "")
        elif e["type"] == "step":
            print("step", e["step"], "of", e["steps"])
            assert e["seconds"] >= 0 and e["left"] >= 0 and e["elapsed"] >= e["seconds"]
        elif e["type"] in ("saved", "preview"):
            print(e["type"], e["step"], "of", e["steps"], e["path"])
        elif e["type"] == "planned":
            assert e["estimate_seconds"] > 0 and e["peak_bytes"] > 0 and e["steps"] == 4
        elif e["type"] == "warning":
            print("warning", e["text"][:17])
END
filigree generate -m demo -p x -W 64 -H 64 --frames 5 --steps 4 --save-latents l3 --plan --json | wc -l
