/* kernel/cuda/attn_fwd.h: the doors of the attention-forward kernels of the CUDA backend.
 *
 * Contract: kernel/attention.h. Here every pointer of args is device memory; the offsets of the
 * problem are host memory and given again as device memory. Nothing is allocated: workspace is
 * device memory of the size promised, aligned to 256. Work is queued on the stream; a failure has
 * its sentence in `error`.
 */
#ifndef FILK_CUDA_ATTN_FWD_H
#define FILK_CUDA_ATTN_FWD_H

#include "kernel/attention.h"

typedef struct filk_cuda_stream {
    void   *stream; /* cudaStream_t */
    int32_t device, sms;
    int32_t arch; /* 90 for compute capability 9.0 */
    char   *error;
    size_t  error_size;
    /* A function of the driver by its name, so that nothing links the driver; NULL: not there. */
    void *(*driver_entry)(const char *name);
} filk_cuda_stream;

#ifdef __cplusplus
extern "C" {
#endif

/* Hopper: TMA and wgmma. head_dim 64 and 128, bf16; every view's base and strides are multiples of
 * 16 bytes (E_UNSUP: they are not). */
size_t     filk_cuda_attn_fwd_sm90_workspace(const filk_attn_problem *p);
fil_status filk_cuda_attn_fwd_sm90_run(const filk_cuda_stream *s, const filk_attn_problem *p,
                                       const filk_attn_args *a, const int32_t *q_offset,
                                       const int32_t *k_offset, void *workspace);

#ifdef __cplusplus
}
#endif

#endif
