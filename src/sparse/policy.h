/* sparse/policy.h: what a policy is, and what surrounds it (filigree/policy.h; DESIGN: a policy).
 *
 *     open     defaults -> order, blocks -> schedule -> prepare       all memory is taken here
 *     select   schedule: dense? at which density? -> the policy's own select -> pooled tail
 *              -> pairs counted
 *     close
 *
 * One file policy_NAME.c per policy, in one order: what it is and where it comes from, its own data
 * with defaults, prepare, select, describe, and its row. policy.inc lists the rows. Everything that
 * policies have in common is in policy*.c: options, the schedule of dense layers and steps, the
 * search for a whole-run density, the pooled tail, the count of pairs, and the state that a
 * checkpoint must carry.
 * Select allocates nothing. The same inputs give the same choice for any number of threads.
 */
#ifndef FILI_SPARSE_POLICY_H
#define FILI_SPARSE_POLICY_H

#include "base/arena.h"
#include "filigree/policy.h"
#include "kernel/attention.h"
#include "sparse/mask.h"

typedef struct fili_policy     fili_policy;
typedef struct fili_policy_ops fili_policy_ops;

/* ---- what is known beforehand --------------------------------------------------------------- */

typedef struct fili_policy_setup {
    fili_grid    grid; /* of the tokens */
    int32_t      layers, steps, passes;
    int32_t      heads, head_dim;
    fil_dtype    dtype;      /* of q, k, v */
    int32_t      has_gate;   /* the model has VSA's gate */
    int32_t      single;     /* 1: one call alone (probe): no schedule, density is the call's */
    const float *sigma;      /* [steps + 1] noise levels; NULL = not known. Borrowed */
    const char  *model_hash; /* of the transformer; NULL = not known. Borrowed */
    const char  *sampler;    /* NULL = not known. Borrowed */
    double       shift;      /* of the sigma grid; 0 = not known */
} fili_policy_setup;

/* ---- one call ------------------------------------------------------------------------------- */

typedef struct fili_policy_rows {
    filk_attn_view q, k, v; /* [N, H, D] */
} fili_policy_rows;

/* `count` runs of n tokens; the first begins at token `first`, the next `step` tokens behind it. */
typedef struct fili_token_runs {
    int64_t first, n, step, count;
} fili_token_runs;

/* Brings the rows of these tokens to the host, in one go: *rows are views of all tokens, of which
 * those that have been brought in this call hold what they should. */
typedef fil_status (*fili_policy_bring_fn)(void *user, const fili_token_runs *runs,
                                           fili_policy_rows *rows);

/* A self-attention before it is computed; q and k are normed and turned; all in the order. */
typedef struct fili_policy_call {
    int32_t            layer, step, pass;
    const fili_order  *order;
    const fili_blocks *blocks; /* of queries and keys */
    int32_t            heads, head_dim;
    fil_dtype          dtype;
    filk_attn_view     q, k, v; /* [N, H, D], perhaps of a device: for kernels */
    float              scale;
    double             density; /* of this call, in (0, 1]; set by fili_policy_select */
    /* NULL: q, k and v are the host's memory. */
    fili_policy_bring_fn bring;
    void                *bring_user;
} fili_policy_call;

/* For who reads elements of q, k and v without a kernel, which a policy says by p->reads_rows.
 * E_DEVICE. */
FIL_MUSTCHECK static inline fil_status fili_policy_bring_runs(const fili_policy_call *call,
                                                              const fili_token_runs  *runs,
                                                              fili_policy_rows       *rows)
{
    *rows = (fili_policy_rows){call->q, call->k, call->v};
    return call->bring != NULL ? call->bring(call->bring_user, runs, rows) : FIL_OK;
}

/* n tokens from `first` on. */
FIL_MUSTCHECK static inline fil_status
fili_policy_bring(const fili_policy_call *call, int64_t first, int64_t n, fili_policy_rows *rows)
{
    const fili_token_runs one = {.first = first, .n = n, .step = n, .count = 1};
    return fili_policy_bring_runs(call, &one, rows);
}

/* What is computed. Everything is the policy's and lives until its next call. Zeroed = dense. */
typedef struct fili_policy_choice {
    const fili_mask *mask;           /* 1 or H heads over the blocks; NULL = every block */
    const int32_t   *sinks;          /* [H or 1, n_sinks] rising; NULL = none */
    int32_t          n_sinks;        /* up to FILK_MAX_SINKS */
    int64_t          sinks_stride_h; /* 0 = one list for all heads */
    int32_t          wants_tail;     /* what is left out takes part as means; the core pools them */
    const float     *tail_factor;    /* [H], > 0; NULL = 1 */

    /* VSA's coarse branch: out[i] += gate[i] * coarse[piece of the order that i is in], element by
     * element; only with uses_gate. NULL = none. */
    const float *coarse; /* [order->n_pieces, H, D] */

    int32_t      refreshed;    /* the mask was made anew in this call */
    const float *recall_bound; /* [H] lower bound of each head's recall; NULL = none known */

    /* Filled in by the core. */
    filk_attn_view tail_k, tail_v; /* [M, H, D] */
    const int32_t *tail_count;
    int64_t        tail_count_stride_h;
    double         density; /* counted: blocks and sinks */
    const double  *recall;  /* [H] exact, where measured; NULL */
} fili_policy_choice;

/* Options that not every policy has a use for. */
typedef enum fili_policy_word {
    FILI_WORD_TAU      = 1,
    FILI_WORD_REFRESH  = 2, /* other than 1 */
    FILI_WORD_GATE     = 4, /* wanted */
    FILI_WORD_BLOCK    = 8, /* other than 64 */
    FILI_WORD_TOPOLOGY = 16,
    FILI_WORD_BUDGETS  = 32,
    FILI_WORD_MASK     = 64
} fili_policy_word;

/* ---- the anatomy ---------------------------------------------------------------------------- */

struct fili_policy_ops {
    const char *name;
    const char *summary;
    /* Fills what the caller left at FIL_AUTO or NULL (strings: static), beyond what the core fills:
     * order "raster", block 64, tail 0, refresh 1, dense_steps 0, dense_layers "", min_tokens 0. */
    void (*defaults)(const fili_policy_setup *setup, fil_policy_options *options);
    /* Optional, before the order is made: opens files, may set p->o.order and p->o.block. */
    fil_status (*begin)(fili_policy *p);
    /* Order, blocks and schedule stand. Takes all memory from p->arena (p->own here or in begin);
     * refuses in one sentence what it cannot honour. */
    fil_status (*prepare)(fili_policy *p);
    /* call->density is below 1. Fills the upper part of *choice; a mask that keeps everything is
     * left NULL. */
    fil_status (*select)(fili_policy *p, const fili_policy_call *call, fili_policy_choice *choice);
    /* One line on what it does here, choices where papers leave one included; NUL-terminated. */
    void (*describe)(const fili_policy *p, char *text, size_t bytes);
    /* Optional. Relative density of the sparse calls over the steps: step 0 <= i < sparse. NULL =
     * equal. Without a wanted density it is the density itself (authors' schedule). */
    double (*shape)(const fili_policy *p, int32_t step);
    /* Optional: files to close; also after begin or prepare failed. */
    void (*close)(fili_policy *p);
    /* 1: it meets options->density over the run by itself (budgets): no search in the core, and
     * call->density is the target. */
    int32_t own_budgets;
    /* 1: how much it keeps is not known beforehand: fili_policy_target is NAN. */
    int32_t unknown_density;
    /* Most sinks that it may choose (attention is planned for them). */
    int32_t max_sinks;
    /* 1: select is called at a density of 1 too, where the schedule does not make a call dense. */
    int32_t always;
    /* 1: its choices may carry a recall_bound. */
    int32_t knows_bound;
    /* Options, as fili_policy_word bits, that the core refuses since the method would do nothing
     * with them: an option is never ignored. What needs a word of its own is refused in prepare. */
    uint32_t no_use;
};

#define FILI_POLICY(name) extern const fili_policy_ops fili_policy_##name;
#include "sparse/policy.inc"
#undef FILI_POLICY

/* Something that a checkpoint must carry: what select remembers from call to call. */
typedef struct fili_policy_piece {
    const char *name; /* static */
    void       *data;
    size_t      bytes;
} fili_policy_piece;

enum { FILI_POLICY_PIECES = 16, FILI_POLICY_TEXT = 512 };

struct fili_policy {
    fil_ctx               *ctx;
    const fili_policy_ops *ops;
    fil_policy_options     o; /* no FIL_AUTO left but density, fidelity, tau, gate; strings owned */
    fili_policy_setup      setup;
    fili_order             order;
    fili_blocks            blocks;
    fili_arena             arena;
    void                  *own;       /* the policy's own data */
    uint64_t               bytes;     /* of the context's memory, all in all */
    int32_t                uses_gate; /* prepare says so: choices may have a coarse branch */
    int32_t reads_rows; /* prepare says so: select brings rows of q, k and v to the host */

    uint8_t *layer_is_dense; /* [layers] */
    double  *density;        /* [steps] of the sparse layers' calls; 1 = dense */

    fili_policy_piece piece[FILI_POLICY_PIECES];
    int32_t           n_pieces;

    struct fili_policy_tail  *tail;  /* buffers and kernels of the pooled tail; NULL = none */
    struct fili_policy_count *count; /* pairs so far */
    float                    *call_density; /* [layers, steps, passes] counted; NAN = not yet */
    uint64_t                  n_calls;
    struct fili_policy_exact *exact; /* measure_recall; NULL = not asked for */
    double measure_seconds;          /* spent in select on figures, which are no part of choosing */
};

/* ---- life ----------------------------------------------------------------------------------- */

/* Strings in options and setup are copied or used in this call alone, except setup->sigma. E_ARG:
 * an option; E_MISMATCH: a topology that does not belong here; E_UNSUP: what the policy cannot do;
 * E_NOMEM; what reading files gives. On failure *out is NULL. With options->fallback, E_ARG aside,
 * what fails opens as dense, with a warning. */
FIL_MUSTCHECK fil_status fili_policy_open(fil_ctx *ctx, const fil_policy_options *options,
                                          const fili_policy_setup *setup, fili_policy **out);
/* NULL and a NULL handle are accepted. */
void fili_policy_close(fili_policy **p);

/* Bytes of the context's memory that it holds. */
uint64_t fili_policy_bytes(const fili_policy *p);

/* The mask and all for one call. call->density is set. E_NONFINITE never: a NaN in q or k reaches
 * the output, where it is found. E_CANCELLED, E_INTERNAL. */
FIL_MUSTCHECK fil_status fili_policy_select(fili_policy *p, fili_policy_call *call,
                                            fili_policy_choice *choice);

/* Counts a call that runs dense whatever the policy would have said. */
FIL_MUSTCHECK fil_status fili_policy_skip(fili_policy *p, const fili_policy_call *call,
                                          fili_policy_choice *choice);

/* Forgets all calls: as after open. */
void fili_policy_reset(fili_policy *p);

/* Name, options as they came out, and what the policy says of itself. */
void fili_policy_describe(const fili_policy *p, char text[FILI_POLICY_TEXT]);

/* ---- figures -------------------------------------------------------------------------------- */

typedef struct fili_policy_figures {
    double  density;        /* kept pairs over all pairs, of the calls so far; 1 before the first */
    double  sparse_density; /* of the calls that were not dense; 1 if there were none */
    int64_t calls, dense_calls, refreshes;
    double  recall, recall_min; /* over refreshes; NAN where not measured */
    double  bound_min;          /* least lower bound of a head's recall; 1 where there is none */
} fili_policy_figures;

void fili_policy_figures_get(const fili_policy *p, fili_policy_figures *out);

/* Counted density of one (layer, step, pass), NAN before it was called. */
double fili_policy_density_at(const fili_policy *p, int32_t layer, int32_t step, int32_t pass);

/* The density that the schedule asks for over the whole run; NAN where nobody knows. */
double fili_policy_target(const fili_policy *p);

/* ---- for policies --------------------------------------------------------------------------- */

/* `bytes` zeroed bytes as p->own. */
FIL_MUSTCHECK fil_status fili_policy_own(fili_policy *p, size_t bytes);

/* Declares state for checkpoints; at most FILI_POLICY_PIECES. Zeroed state stands for "nothing
 * chosen yet": fili_policy_reset does that. */
void fili_policy_keep(fili_policy *p, const char *name, void *data, size_t bytes);

/* Blocks of each row at this density: max(1, floor(density * m)), where a density that is a few
 * ulps below k / m counts as k / m. */
int32_t fili_policy_keep_blocks(double density, int32_t m);

/* The schedule makes that layer's calls of that step dense. */
bool fili_policy_is_dense(const fili_policy *p, int32_t layer, int32_t step);

/* A mask whose bits come from p->arena. */
FIL_MUSTCHECK fil_status fili_policy_mask(fili_policy *p, int32_t heads, int32_t mq, int32_t mk,
                                          fili_mask *out);

/* ---- state ---------------------------------------------------------------------------------- */

/* All pieces one after the other, the count of pairs included. */
size_t fili_policy_state_bytes(const fili_policy *p);
void   fili_policy_state_save(const fili_policy *p, void *to);
/* E_FORMAT: not as many bytes as this policy has; it is then as before. */
FIL_MUSTCHECK fil_status fili_policy_state_load(fili_policy *p, const void *from, size_t bytes);

#endif
