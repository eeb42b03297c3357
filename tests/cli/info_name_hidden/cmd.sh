# Characters that reorder a line leave a name as escapes.
. "$CLI_TESTS/inputs.sh"
one a 'x\u202ey\u200bz\ufeff'
filigree info a
filigree info --json a
