# The same for --version.
[ -c /dev/full ] || { echo "no /dev/full" >&2; exit 77; }
filigree --version >/dev/full
