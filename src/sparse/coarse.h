/* sparse/coarse.h: attention between cubes: the coarse stage of Video Sparse Attention.
 *
 *     Xc[j] = mean of the tokens of cube j, for X in q, k, v      in f32, over the tokens it holds
 *     S     = scale Qc Kc^T
 *     kept  = the k cubes of the largest S in each row and head; of equal ones the lower index
 *     Oc    = softmax(S) Vc                                       one row per cube and head
 *
 * After VSA (arXiv 2505.13389, section 3.1). The softmax is not corrected for the number of tokens:
 * a clipped cube of 2 weighs as much as a whole one. Everything is a call of a kernel family:
 * pooling, select, attention over M tokens. FastVideo rounds the means to bf16, where many scores
 * are then equal and fall to one corner of the video; here they stay f32.
 */
#ifndef FILI_SPARSE_COARSE_H
#define FILI_SPARSE_COARSE_H

#include "base/arena.h"
#include "kernel/attention.h"
#include "kernel/pooling.h"
#include "kernel/select.h"
#include "sparse/mask.h"

/* How many of n cubes a row keeps: ceil((1 - sparsity) * n) in double precision, evaluated in that
 * order, at least 1, at most n. Rounding is part of it: 0.7 of 10 keeps 4. n >= 1. */
int32_t fili_coarse_keep(double sparsity, int32_t n);

typedef struct fili_coarse_shape {
    int32_t        n; /* tokens */
    int32_t        heads, head_dim;
    fil_dtype      dtype;       /* of q, k, v */
    int32_t        m;           /* cubes */
    const int32_t *offset;      /* [m + 1] where each begins; borrowed */
    int32_t        with_output; /* 1: Oc may be asked for */
} fili_coarse_shape;

typedef struct fili_coarse {
    fil_ctx             *ctx;
    filk_pooling_problem pooling;
    filk_select_problem  select;
    filk_attn_problem    attention; /* of cubes; where with_output */
    const filk_row      *pooling_row, *select_row, *attention_row;
    float               *q, *k, *v; /* [m, heads, D]; v: NULL without output */
    void                *workspace;
    size_t               select_room; /* bytes of it that selection may use */
} fili_coarse;

/* Plans the kernels and takes all memory from `arena`. E_UNSUP, E_NOMEM. Nothing to close. */
FIL_MUSTCHECK fil_status fili_coarse_open(fili_coarse *out, fil_ctx *ctx,
                                          const fili_coarse_shape *shape, fili_arena *arena);

typedef struct fili_coarse_io {
    filk_attn_view q, k, v; /* [n, heads, D]; v is read for `out` alone */
    float          scale;
    int32_t        keep;  /* 1 to m */
    uint32_t      *mask;  /* [heads, m, words]; NULL = not wanted */
    float         *score; /* [heads, m, m], S; NULL = not wanted; only with `mask` */
    float         *out;   /* [m, heads, D], Oc; NULL = not wanted */
} fili_coarse_io;

FIL_MUSTCHECK fil_status fili_coarse_run(const fili_coarse *c, const fili_coarse_io *io);

/* ---- cubes of several blocks ---------------------------------------------------------------- */

/* first[n_pieces + 1]: blocks first[c] .. first[c + 1] - 1 are those of piece c of the order, from
 * which the blocks were made. E_ARG: they were not. */
FIL_MUSTCHECK fil_status fili_coarse_blocks(const fili_order *order, const fili_blocks *blocks,
                                            int32_t *first);

/* dst: what src, a mask of cubes, is between blocks. E_SHAPE: first[src->mq] is not dst->mq, or
 * another number of heads. */
FIL_MUSTCHECK fil_status fili_coarse_expand(fili_mask *dst, const fili_mask *src,
                                            const int32_t *first);

#endif
