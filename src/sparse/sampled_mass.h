/* sparse/sampled_mass.h: exact block masses of a few query blocks (kernel/mass.h), to judge an
 * estimate by. The blocks lie at even distances; cost: their share of a pass of block mass.
 */
#ifndef FILI_SPARSE_SAMPLED_MASS_H
#define FILI_SPARSE_SAMPLED_MASS_H

#include "base/arena.h"
#include "kernel/mass.h"
#include "sparse/blocks.h"

typedef struct fili_sampled_mass {
    fil_ctx           *ctx;
    const fili_blocks *blocks; /* borrowed */
    int32_t            per;    /* blocks in a sampled one, and in a column: 1 or 2 */
    int32_t            m;      /* columns */
    int32_t            n;
    int32_t           *row; /* [n] rising, below m */
    filk_mass_problem  problem;
    const filk_row    *kernel;
    void              *workspace;
    char              *q;    /* the sampled queries, [tokens, heads, D] */
    float             *fine; /* [heads, blocks of the samples, blocks] */
    float             *mass; /* [heads, n, m] of the last run */
} fili_sampled_mass;

typedef struct fili_sampled_shape {
    int32_t   per;  /* as above */
    int32_t   most; /* samples */
    int32_t   heads, head_dim;
    fil_dtype dtype; /* of q and k */
} fili_sampled_shape;

/* E_UNSUP: no kernel takes the heads; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_sampled_mass_init(fili_sampled_mass *out, fil_ctx *ctx,
                                                fili_arena *arena, const fili_blocks *blocks,
                                                const fili_sampled_shape *shape);

FIL_MUSTCHECK fil_status fili_sampled_mass_run(fili_sampled_mass *s, filk_attn_view q,
                                               filk_attn_view k, float scale);

#endif
