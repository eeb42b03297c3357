# A file cut in its header.
. "$CLI_TESTS/inputs.sh"
two a
head -c 50 a >b
filigree info b
