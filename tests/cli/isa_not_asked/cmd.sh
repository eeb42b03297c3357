# --help and --version do not ask for FIL_ISA.
FIL_ISA=nonsense filigree --version >/dev/null && FIL_ISA=nonsense filigree info --help >/dev/null
