/* kernel/cuda/attn_fwd_sm90.cu: holds the place of the attention kernel for Hopper. */
#include "kernel/cuda/launch.h"

size_t filk_cuda_attn_fwd_sm90_workspace(const filk_attn_problem *p)
{
    (void)p;
    return 0;
}

fil_status filk_cuda_attn_fwd_sm90_run(const filk_cuda_stream *s, const filk_attn_problem *p,
                                       const filk_attn_args *a, const int32_t *q_offset,
                                       const int32_t *k_offset, void *workspace)
{
    (void)p;
    (void)a;
    (void)q_offset;
    (void)k_offset;
    (void)workspace;
    snprintf(s->error, s->error_size, "there is no attention kernel for Hopper in this build");
    return FIL_E_UNSUP;
}
