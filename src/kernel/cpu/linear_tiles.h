/* kernel/cpu/linear_tiles.h: the frame of the rows of linear that multiply by themselves.
 *
 * The result is cut into tiles, a task each, and k into blocks of nearly one length. Weights are
 * packed as panels of a few columns with all of their k. What a row brings is the packing of a
 * panel and the sums of a tile; the frame has the plan, the sizes, the tasks and, by
 * linear_finish.h, what follows the sums. The cut depends on the problem alone. Weights of another
 * type (any_weight) are packed at the beginning of each call, into the workspace.
 */
#ifndef FILK_CPU_LINEAR_TILES_H
#define FILK_CPU_LINEAR_TILES_H

#include "kernel/cpu/linear_finish.h"

typedef struct filk_linear_kernel filk_linear_kernel;

/* The plan. */
typedef struct filk_linear_tiles {
    filk_linear_problem       p; /* packed: also where weights of another type are, in a call */
    const filk_linear_kernel *kernel;
    int64_t                   depth;          /* k, in whole steps of the kernel */
    int64_t                   block_k;        /* of a block; the last may be shorter */
    int64_t                   tile_m, tile_n; /* by the kernel */
    int64_t                   m_tiles, n_tiles;
    int32_t                   n_threads;
    fili_isa                  isa;          /* of the loops that convert weights */
    size_t                    panel_bytes;  /* of a panel and all k */
    size_t                    thread_bytes; /* scratch of a thread, by the kernel */
} filk_linear_tiles;

struct filk_linear_kernel {
    int32_t cols;    /* of a panel */
    int32_t step;    /* of k: filled up with zeros to whole ones */
    int32_t block_k; /* at most */
    /* Bytes that one k takes in a panel. */
    int32_t (*step_bytes)(const filk_linear_tiles *l);
    /* Sets tile_m, tile_n and thread_bytes. */
    void (*cut)(filk_linear_tiles *l);
    /* Packs the panel of these rows of the weights, 1 to cols of them. */
    void (*pack)(const filk_linear_tiles *l, const char *rows, int64_t n_rows, char *to);
    /* The sums of rows m and columns n, somewhere in `scratch`. */
    filk_linear_sums (*product)(const filk_linear_tiles *l, const filk_linear_args *a, fili_range m,
                                fili_range n, char *scratch);
    filk_tile_fn tile;
};

/* A row's create calls filk_linear_tiles_create with its kernel; its operations are then
 * FILK_LINEAR_TILES_OPS(create). */
fil_status filk_linear_tiles_create(fil_ctx *ctx, const filk_linear_problem *p,
                                    const filk_linear_kernel *kernel, void **plan);
void       filk_linear_tiles_destroy(fil_ctx *ctx, void **plan);
size_t     filk_linear_tiles_workspace(const void *plan);
size_t     filk_linear_tiles_packed_bytes(const void *plan);
fil_status filk_linear_tiles_pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                                  void *workspace);
fil_status filk_linear_tiles_run(fil_ctx *ctx, const void *plan, const void *args, void *workspace);

#define FILK_LINEAR_TILES_OPS(create_fn)                                                           \
    {                                                                                              \
        .create = (create_fn), .destroy = filk_linear_tiles_destroy,                               \
        .workspace = filk_linear_tiles_workspace, .packed_bytes = filk_linear_tiles_packed_bytes,  \
        .pack = filk_linear_tiles_pack, .run = filk_linear_tiles_run                               \
    }

/* ---- small sums ----------------------------------------------------------------------------- */

static inline int64_t filk_rounded(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Up to a cache line. */
static inline size_t filk_lines(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

/* Where n items are cut into as few shares of at most `most` as will do: a share, in whole units;
 * all are of that size but the last. */
static inline int64_t filk_share(int64_t n, int64_t most, int64_t unit)
{
    const int64_t shares = fili_task_count(n, most);
    return filk_rounded((n + shares - 1) / shares, unit);
}

#endif
