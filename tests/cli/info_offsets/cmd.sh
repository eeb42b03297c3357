# offset and file of a JSON line lead to the tensor's bytes.
. "$CLI_TESTS/inputs.sh"
mkdir m
st m/a '{"x":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"y":{"dtype":"U8","shape":[3],"data_offsets":[3,6]}}' 0
printf abcdef >>m/a
python3 - "$(filigree info --json m/a | grep '"name":"y"')" <<'PY'
import json, sys
t = json.loads(sys.argv[1])
with open(t["file"], "rb") as f:
    f.seek(t["offset"])
    print(f.read(t["bytes"]).decode())
PY
