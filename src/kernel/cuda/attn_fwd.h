/* kernel/cuda/attn_fwd.h: attention forward on a device: what the rows' files show (the contract is
 * kernel/attention.h). Pointers of args are memory of the device; offsets of the problem are the
 * host's, and q_offset and k_offset the same numbers on the device.
 */
#ifndef FILK_CUDA_ATTN_FWD_H
#define FILK_CUDA_ATTN_FWD_H

#ifdef __cplusplus
extern "C" {
#endif

#include "kernel/attention.h"

typedef struct filk_cuda_stream {
    void   *stream; /* cudaStream_t */
    int32_t sms;    /* multiprocessors */
    int32_t arch;   /* 90 */
    int32_t device;
    char   *error; /* text of a failure goes here */
    size_t  error_size;
    void *(*driver_entry)(const char *name); /* a function of the driver, or NULL */
} filk_cuda_stream;

/* Hopper: TMA and wgmma. Bases and strides of q, k and v are multiples of 16 bytes (E_UNSUP: they
 * are not). Nothing is allocated; workspace is device memory aligned to 256. */
size_t     filk_cuda_attn_fwd_sm90_workspace(const filk_attn_problem *p);
fil_status filk_cuda_attn_fwd_sm90_run(const filk_cuda_stream *s, const filk_attn_problem *p,
                                       const filk_attn_args *a, const int32_t *q_offset,
                                       const int32_t *k_offset, void *workspace);

/* Every device from compute capability 8.0 on, any alignment. */
fil_status filk_cuda_attn_fwd_mma_run(const filk_cuda_stream *s, const filk_attn_problem *p,
                                      const filk_attn_args *a, const int32_t *q_offset,
                                      const int32_t *k_offset);

#ifdef __cplusplus
}
#endif

#endif
