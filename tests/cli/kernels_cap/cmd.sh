# A kernel that needs more than FIL_ISA allows says what it needs.
FIL_ISA=ref filigree kernels --json >all
grep -c '"available":true' all >yes
grep -c '__ref","isa":"ref","available":true,"reason":""' all | cmp - yes
! grep '"available":false' all | grep -v '"reason":"needs [a-z0-9]*; \(ref is in use\|no CUDA device is open\)"}'
