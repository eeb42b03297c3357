# A result for each video as soon as it stands, and a sum as the last line.
. "$CLI_TESTS/inputs.sh"
demo_model demo
printf 'one\ntwo\n' >p.txt
filigree generate -m demo --prompt-file p.txt -W 32 -H 32 --frames 1 --steps 2 --threads 1 -o v.png \
    --json >out || exit 1
python3 - <<'END'
import json
events = [json.loads(line) for line in open("out")]
for e in events:
    if e["type"] in ("video", "videos"):
        print(e)
    elif e["type"] == "planned":
        assert e["estimate_seconds"] > 0 and e["peak_bytes"] > 0
        print("planned", e["videos"], e["steps"], e["done"])
    elif e["type"] == "generate":
        print("generate", e["path"], e["frames"])
print(sum(e["type"] == "phase" and e["phase"] == "load" for e in events), "load")
END
