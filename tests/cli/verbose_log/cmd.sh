# -v says on stderr what the library notes, and nothing without it.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a >/dev/null 2>quiet
filigree info -vv a >/dev/null 2>loud
wc -c <quiet
grep -v -e '^filigree: note: ' -e '^filigree: detail: ' loud
true
