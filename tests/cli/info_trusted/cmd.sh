# --trusted changes no word of a listing.
. "$CLI_TESTS/inputs.sh"
many a 100
filigree info a >read && filigree info --trusted a >mapped && cmp read mapped
