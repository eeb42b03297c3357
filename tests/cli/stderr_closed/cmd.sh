# A closed stderr changes no code and no output.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a >open && filigree info a 2>&- >closed && cmp open closed
filigree info missing 2>&-
