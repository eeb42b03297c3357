/* nn/biased.h: attention of one short sequence with a bias for each distance, as in T5.
 *
 *   out_i = sum_j softmax_j(q_i k_j + bias[bucket(j - i)][head]) v_j        no 1/sqrt(d)
 *
 * bucket: 32 buckets (any even number), half of them for keys behind the query; distances below a
 * quarter of them have their own, larger ones share logarithmically up to distance 128 (Raffel et
 * al. 2020; transformers' T5Attention). All of it in f32; a task is a head, so bits do not depend
 * on the thread count. For sequences whose n x n logits of a head fit in a cache: no mask, no
 * blocks, forward only. The kernels of kernel/attention.h are for long sequences and know no bias.
 */
#ifndef FILI_NN_BIASED_H
#define FILI_NN_BIASED_H

#include "nn/matmul.h"

typedef struct fili_biased {
    fil_ctx     *ctx;
    int32_t      n, heads, head_dim, buckets;
    int32_t      n_workers;
    fili_matmul *logits, *values; /* [n_workers] */
    int32_t     *bucket_of;       /* [2 n - 1]: of distance i - (n - 1) */
    size_t       worker_bytes;
    size_t       workspace; /* bytes, for all workers */
} fili_biased;

typedef struct fili_biased_shape {
    int32_t n, heads, head_dim, buckets;
} fili_biased_shape;

typedef struct fili_biased_io {
    const float *q, *k, *v; /* [n, heads, head_dim] */
    const float *bias;      /* [buckets, heads] */
    void        *out;       /* [n, heads, head_dim] BF16 or F32 */
    fil_dtype    out_dtype;
} fili_biased_io;

/* E_ARG, E_UNSUP, E_NOMEM; on failure *out is closed. */
FIL_MUSTCHECK fil_status fili_biased_open(fili_biased *out, fil_ctx *ctx,
                                          const fili_biased_shape *shape);
/* Idempotent; a zeroed one is accepted. */
void fili_biased_close(fili_biased *b);

FIL_MUSTCHECK fil_status fili_biased_forward(const fili_biased *b, const fili_biased_io *io,
                                             void *workspace);

/* The bucket of a key `distance` positions behind the query (negative: before it). */
int32_t fili_biased_bucket(int32_t distance, int32_t buckets);

#endif
