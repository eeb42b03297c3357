/* nn/attend.h: attention between dense rows of heads, on the family `attention`.
 *
 * Two forms: over the blocks of a sequence with a mask that may change from call to call, and over
 * a short list of keys whose last one stands for several equal ones (the padding of a prompt):
 * softmax over c equal keys is one key with logit + ln c, which the kernels offer as their tail.
 */
#ifndef FILI_NN_ATTEND_H
#define FILI_NN_ATTEND_H

#include "kernel/attention.h"
#include "nn/space.h"
#include "sparse/policy.h"

typedef struct fili_attend {
    fil_ctx          *ctx;
    filk_attn_problem problem; /* offsets are borrowed */
    const filk_row   *row;
    size_t            workspace;
} fili_attend;

typedef struct fili_attend_shape {
    int32_t            heads, head_dim;
    fil_dtype          dtype;
    const fili_blocks *q;                   /* borrowed */
    int32_t            max_sinks, has_tail; /* what choices may have */
} fili_attend_shape;

/* Queries and keys are the same sequence. E_UNSUP. Nothing to close. */
FIL_MUSTCHECK fil_status fili_attend_open(fili_attend *out, fil_ctx *ctx,
                                          const fili_attend_shape *shape);

typedef struct fili_attend_io {
    const void *q, *k, *v; /* [n, heads, D] */
    int64_t     stride;    /* elements from row to row of these; 0 = heads * D */
    void       *out;       /* [n, heads, D], none of the inputs */
    /* mask, sinks and tail over the blocks; NULL = dense */
    const fili_policy_choice *choice;
} fili_attend_io;

FIL_MUSTCHECK fil_status fili_attend_forward(const fili_attend *a, const fili_attend_io *io,
                                             void *workspace);

/* ---- keys of a prompt ----------------------------------------------------------------------- */

#define FILI_ATTEND_KEYS 4096 /* of a list, at most */
#define FILI_ATTEND_RUNS (FILI_ATTEND_KEYS / FILK_BLOCK + 1)

/* What one list of keys needs beside the keys. Not to be copied. */
typedef struct fili_attend_list {
    fili_attend attend;
    int32_t     max_keys; /* with the one that stands for others */
    int32_t     has_tail;
    uint32_t   *mask;                    /* [mq, words]: all blocks but the last */
    float      *factor;                  /* [heads]: how many keys the last one stands for */
    int32_t     count[FILI_ATTEND_RUNS]; /* 1 for the last, else 0 */
    int32_t     k_offset[FILI_ATTEND_RUNS + 1];
} fili_attend_list;

/* For at most max_keys keys (1 to FILI_ATTEND_KEYS); takes its tables from `space`, and sets
 * attend.workspace to the most that any number of keys needs. E_UNSUP, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_attend_list_open(fili_attend_list *out, fil_ctx *ctx,
                                               const fili_attend_shape *shape, int32_t max_keys,
                                               fili_space *space);

/* From now on: n keys, and one more (key n) that stands for `more` equal ones; more 0: none.
 * 1 <= n + (more > 0) <= max_keys. E_ARG, E_UNSUP. */
FIL_MUSTCHECK fil_status fili_attend_list_set(fili_attend_list *list, int32_t n, int32_t more);

/* io->k, io->v: [n + (more > 0), heads, D]; io->choice is not looked at. */
FIL_MUSTCHECK fil_status fili_attend_list_forward(const fili_attend_list *list,
                                                  const fili_attend_io *io, void *workspace);

#endif
