# A full disk: output, exit code 5.
[ -c /dev/full ] || { echo "no /dev/full" >&2; exit 77; }
. "$CLI_TESTS/inputs.sh"
two a
filigree info a >/dev/full
