# A name of 513 bytes is over the limit.
. "$CLI_TESTS/inputs.sh"
one a "$(printf '%0513d' 0)"
filigree info a
