# A closed stdout: output, exit code 5.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a >&-
