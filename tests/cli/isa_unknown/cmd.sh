# FIL_ISA names no instruction set.
. "$CLI_TESTS/inputs.sh"
two a
FIL_ISA=nonsense filigree info a
