/* kernel/cpu/linear_finish.h: what the CPU rows of linear share: the types that they take, weights
 * of another type turned into theirs, and what happens to a tile of f32 sums: the pass of tile.h
 * with the arguments of linear.h.
 */
#ifndef FILK_CPU_LINEAR_FINISH_H
#define FILK_CPU_LINEAR_FINISH_H

#include "base/pool.h"
#include "kernel/cpu/tile.h"

#define FILK_LINEAR_WIDE 1536 /* columns of a tile, at most */

/* NULL if a row for x and W in `dtype` takes the problem, else why not. */
const char *filk_linear_refuse_other(const filk_linear_problem *p, fil_dtype dtype);

/* E_INTERNAL: a call of any_weight whose type is none that can be read, or has blocks that K does
 * not hold a whole number of. */
FIL_MUSTCHECK fil_status filk_linear_check_weight(fil_ctx *ctx, const filk_linear_problem *p,
                                                  const filk_linear_args *a);

/* Rows n of a weight of another type (any_weight), all their K, in the type of x: [rows][K]. */
void filk_linear_convert(const filk_linear_problem *p, fili_isa isa, const filk_linear_args *a,
                         fili_range n, void *to);

/* Sums of a tile, as tile.h takes them: rows of all columns, or panels that stand side by side. */
typedef struct filk_linear_sums {
    const float *at;
    int64_t      stride; /* from row to row */
    int64_t      panel;  /* columns of a panel; 0 = all */
    int64_t      panel_stride;
} filk_linear_sums;

/* sums: of rows m and columns n of the result. */
void filk_linear_finish(const filk_linear_problem *p, const filk_linear_args *a, filk_tile_fn tile,
                        const filk_linear_sums *sums, fili_range m, fili_range n);

#endif
