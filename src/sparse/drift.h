/* sparse/drift.h: how far q and k of a layer have moved since a mask was made.
 *
 * A signature: means of runs of 8 tokens at up to 64 places of the sequence, evenly apart, of q and
 * of k, all heads. Drift is the relative L2 distance of two of them, of q or k, whichever is more.
 */
#ifndef FILI_SPARSE_DRIFT_H
#define FILI_SPARSE_DRIFT_H

#include "base/arena.h"
#include "base/pool.h"
#include "kernel/attention.h"

enum { FILI_DRIFT_PLACES = 64, FILI_DRIFT_TOKENS = 8 };

typedef struct fili_drift {
    fil_ctx  *ctx;
    int32_t   n, heads, head_dim;
    fil_dtype dtype;
    int32_t   places; /* 64 at most; all tokens where there are no more */
    int32_t   step;   /* tokens from one place to the next: one copy fetches all places */
    int32_t   read;   /* of each place: 8 at most */
} fili_drift;

void fili_drift_init(fili_drift *out, fil_ctx *ctx, int32_t n, int32_t heads, int32_t head_dim,
                     fil_dtype dtype);

/* Floats of a signature. */
size_t fili_drift_floats(const fili_drift *drift);

FIL_MUSTCHECK fil_status fili_drift_sign(const fili_drift *drift, filk_attn_view q,
                                         filk_attn_view k, float *signature);

/* From `from` to `to`; NaN where one of them is not finite. */
double fili_drift_between(const fili_drift *drift, const float *from, const float *to);

#endif
