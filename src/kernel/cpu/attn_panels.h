/* kernel/cpu/attn_panels.h: what all CPU rows of attention share: keys in panels of 16.
 *
 * Packed keys and values of one head are a sequence of panels, 16 keys each. A run of keys becomes
 * ceil(valid/16) panels; sinks are taken out of their runs and form panels of their own; the pooled
 * keys of the tail form the last ones. A query block walks a list of panels, four at a time, and
 * never asks which block they came from: a ragged run costs 16-token steps, sinks and tail need no
 * case of their own. Lanes that hold no key are packed as zeros and silenced by a bias of -inf.
 *
 *     head: [run 0: p0 p1 p2 p3][run 1: p4 p5] ... [sinks][tail][zeros]
 *
 * Work is cut into rounds of a few key-value heads (each packed once) and, inside a round, into
 * tasks of one query block of one head, the heaviest first. Without a mask all rows have one list:
 * then a task is a run of query rows of the kernel's own choice.
 */
#ifndef FILK_CPU_ATTN_PANELS_H
#define FILK_CPU_ATTN_PANELS_H

#include "kernel/attention.h"

#define FILK_PANEL 16 /* keys */
#define FILK_GROUP 4  /* panels that a kernel takes at a time */
#define FILK_LINE  64u

/* ---- workspace and layout, also of block mass ----------------------------------------------- */

/* Every piece of a workspace begins on a cache line. */
static inline size_t filk_padded(size_t bytes)
{
    return (bytes + FILK_LINE - 1) & ~(size_t)(FILK_LINE - 1);
}

/* Bump pointer over the workspace. */
static inline void *filk_take(char **at, size_t bytes)
{
    void *p = *at;
    *at += filk_padded(bytes);
    return p;
}

static inline int32_t filk_panels_of(int32_t tokens)
{
    return (tokens + FILK_PANEL - 1) / FILK_PANEL;
}

/* `element`: bytes of one. */
static inline const void *filk_row_at(const filk_attn_view *view, size_t element, int64_t token,
                                      int32_t head)
{
    const int64_t at = token * view->stride_n + head * view->stride_h;
    return (const char *)view->data + at * (int64_t)element;
}

/* Key-value heads that are packed at a time: enough that the tasks of a round keep all threads
 * busy to its end. tasks_per_head > 0. */
static inline int32_t filk_round_heads(int64_t tasks_per_head, int32_t kv_heads, int32_t n_threads)
{
    const int64_t n = (8 * (int64_t)n_threads + tasks_per_head - 1) / tasks_per_head;
    return n > kv_heads ? kv_heads : n < 1 ? 1 : (int32_t)n;
}

/* ---- attention ------------------------------------------------------------------------------ */

/* One query block of one head, ready to compute. */
typedef struct filk_attn_block {
    const filk_attn_problem *problem;
    const filk_attn_args    *args;
    int32_t                  head;
    int32_t                  first, rows; /* query rows, 1 to 64, or to the kernel's dense_rows */
    const char              *k_panels, *v_panels;
    const int32_t           *list;   /* panels; n_list is a multiple of FILK_GROUP */
    int32_t                  n_list; /* 0: an empty block */
    int32_t      n_plain;            /* list[0 .. n_plain) need no bias; a multiple of FILK_GROUP */
    const float *bias;               /* [n_list - n_plain][16], log2 units; -inf = no key */
    void        *scratch;            /* of the kernel, one per thread */
} filk_attn_block;

/* What one row brings. */
typedef struct filk_attn_kernel {
    size_t (*panel_bytes)(int32_t head_dim); /* of one K panel, and of one V panel */
    size_t (*scratch_bytes)(int32_t head_dim);
    /* Packs 16 keys and their values; a NULL row pointer stands for zeros. */
    void (*pack)(const void *const k[FILK_PANEL], const void *const v[FILK_PANEL], int32_t head_dim,
                 void *k_panel, void *v_panel);
    void (*block)(const filk_attn_block *block);
    int32_t dense_rows; /* query rows of a task where there is no mask, at least 64; 0 = a block */
} filk_attn_kernel;

size_t filk_attn_panels_workspace(const filk_attn_problem *problem, const filk_attn_kernel *kernel,
                                  int32_t n_threads);
fil_status filk_attn_panels_run(fil_ctx *ctx, const filk_attn_problem *problem,
                                const filk_attn_args *args, const filk_attn_kernel *kernel,
                                void *workspace);

#endif
