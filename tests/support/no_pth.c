/* tests/support/no_pth.c: stands in for the reader of PyTorch checkpoints until there is one. */
#include "io/tensors.h"

fil_status fili_pth_read_header(fili_tensors *set, int32_t source)
{
    (void)source;
    return FIL_FAIL(set->ctx, FIL_E_UNSUP, "this build does not read PyTorch checkpoints");
}
