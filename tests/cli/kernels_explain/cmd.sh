# Capped to the reference, it is chosen for everything.
FIL_ISA=ref filigree kernels --explain >text
grep -c '__ref  *chosen$' text >chosen
grep -c '^[a-z]' text | cmp - chosen
! grep -v __ref text | grep chosen
head -n 1 text
