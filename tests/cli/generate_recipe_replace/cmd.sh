# A recipe does not say what may be replaced: the call does,
# even where the run was made with --force.
. "$CLI_TESTS/inputs.sh"
demo_model demo
filigree generate -m demo -p x -W 64 -H 64 --frames 1 --steps 1 --force -o a.png -q || exit 1
grep -c '"replace": 1' a.png.json
filigree generate --recipe a.png.json -q
echo "exit $?"
filigree generate --recipe a.png.json --force -q
echo "exit $?"
