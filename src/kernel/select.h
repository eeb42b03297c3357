/* kernel/select.h: choosing key blocks by the scores of pooled tiles: the contract of every row.
 *
 * A tile is a pooled run of tokens (kernel/pooling.h); a block is a run of tiles, and holds at
 * least one. With s_ij = scale q_i . k_j: FILK_SELECT_LOGIT    score[h][u][v] = s_uv: tiles are
 * blocks (Video Sparse Attention) FILK_SELECT_SOFTMAX  score[h][u][v] = sum over tiles i in u, j in
 * v of exp(s_ij - lse_i), lse_i over all key tiles: each query tile has one vote (DFSAttn) The mask
 * row of (h, u) keeps the `keep` blocks of the largest scores, as f32 numbers: of equal ones the
 * lower index first. NaN ranks below -inf. Bits from mk on are 0. count    a key tile of count 0
 * holds no token: it takes no part in a softmax. A block of such tiles alone has score 0 (SOFTMAX).
 * LOGIT does not look at counts. sums     f32 or better, from f32 means: in bf16 ties would fall to
 * one region of the video. hygiene  NaN or inf in a query tile reaches the rows of its block and
 * head alone; in a key tile, the rows of its head (SOFTMAX) or one column (LOGIT). bits     the
 * same for any number of threads. The mask is exact for the scores that the row computes, which
 * `score` shows; two rows may differ where scores are closer than their rounding. Tables and sizes
 * have been validated.
 */
#ifndef FILK_SELECT_H
#define FILK_SELECT_H

#include "filigree/file.h"
#include "kernel/registry.h"

typedef enum filk_select_kind { FILK_SELECT_LOGIT = 0, FILK_SELECT_SOFTMAX } filk_select_kind;

typedef struct filk_select_problem {
    filk_select_kind kind;
    int32_t          heads, kv_heads; /* heads is a multiple of kv_heads */
    int32_t          head_dim;        /* D: 1 to 128 */
    int32_t          tq, tk;          /* tiles */
    int32_t          mq, mk;          /* blocks; LOGIT: as many as tiles */
    const int32_t   *q_tiles;         /* [mq+1], rising: 0 to tq */
    const int32_t   *k_tiles;         /* [mk+1], rising: 0 to tk */
    int32_t          keep;            /* 1 to mk */
} filk_select_problem;

typedef struct filk_select_args {
    const float   *q;     /* [tq, heads, D] */
    const float   *k;     /* [tk, kv_heads, D] */
    const int32_t *count; /* [kv_heads or 1, tk]: tokens of key tiles; NULL = all above 0 */
    int64_t        count_stride_h; /* 0 = one list for all */
    float          scale;          /* finite, > 0 */
    uint32_t      *mask;           /* [heads, mq, words], words = ceil(mk/32) */
    float         *score;          /* [heads, mq, mk]; NULL = not wanted */
} filk_select_args;

extern const filk_family filk_selection;

#define FILK_SELECT(stem, isa, priority)                                                           \
    const char *stem##_refuse(const void *problem);                                                \
    size_t      stem##_workspace(const void *problem, int32_t n_threads);                          \
    fil_status  stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace);
#include "kernel/select.inc"
#undef FILK_SELECT

/* Sets the bits of the `keep` largest of score[0 .. mk) in row[words], by the rule above. */
void filk_select_top(const float *score, int32_t mk, int32_t keep, uint32_t *row);

/* Orders f32 numbers as unsigned integers: larger is larger, every NaN is 0. */
static inline uint32_t filk_select_key(uint32_t bits)
{
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
    if (bits == 0x80000000u) bits = 0; /* -0 equals 0 */
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* ---- the oracle ----------------------------------------------------------------------------- */

/* Scores of row (h, u) in f64: score[mk]. cond[mk] (NULL = not wanted): how far a score moves when
 * each product is off by one part. */
void filk_select_oracle_row(const filk_select_problem *problem, const filk_select_args *args,
                            int32_t h, int32_t u, double *score, double *cond);

#endif
