# A tensor name with a control character: the file is refused, the name shown harmless.
. "$CLI_TESTS/inputs.sh"
one a 'x\u001b[2Jy'
filigree info a
