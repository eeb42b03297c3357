# Checkpoints written by PyTorch itself.
[ -d "${FIL_FIXTURES:-}" ] || { echo "no FIL_FIXTURES" >&2; exit 77; }
filigree info --json "$FIL_FIXTURES/pipeline/original" | grep -e '"type":"file"' -e '"type":"total"'
