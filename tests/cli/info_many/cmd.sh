# 65,536 tensors are listed; one more is over the limit.
. "$CLI_TESTS/inputs.sh"
many a 65536
filigree info a | wc -l
many b 65537
filigree info b
