# FIL_ISA names what no CPU has beside amx: neon here, or avx2 there.
. "$CLI_TESTS/inputs.sh"
two a
case $(uname -m) in
aarch64) FIL_ISA=avx2 filigree info a ;;
*) FIL_ISA=neon filigree info a ;;
esac
