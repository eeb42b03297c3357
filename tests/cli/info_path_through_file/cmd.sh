# A path through a file is not a path.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a/b
