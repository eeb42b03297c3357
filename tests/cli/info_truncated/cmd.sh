# A file cut in its data.
. "$CLI_TESTS/inputs.sh"
two a
head -c 160 a >b
filigree info b
