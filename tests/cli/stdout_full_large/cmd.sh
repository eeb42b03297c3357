# The same for a long listing.
[ -c /dev/full ] || { echo "no /dev/full" >&2; exit 77; }
. "$CLI_TESTS/inputs.sh"
many a 5000
filigree info --json a >/dev/full
