# A path that is not UTF-8 gives valid JSON.
. "$CLI_TESTS/inputs.sh"
name=$(printf 'a\377\300b')
two "$name"
filigree info --json "$name" | python3 -c 'import json, sys; [print(json.loads(l).get("path")) for l in sys.stdin]' | head -n 1 | od -An -c
