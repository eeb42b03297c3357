# FIL_ISA=ref works everywhere.
. "$CLI_TESTS/inputs.sh"
two a
filigree info a >any && FIL_ISA=ref filigree info a >ref && cmp any ref
