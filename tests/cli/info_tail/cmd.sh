# A file with bytes behind its data.
. "$CLI_TESTS/inputs.sh"
two a
echo >>a
filigree info a
