/* kernel/registry.h: which implementation runs.
 *
 * A family of operations has one contract header (a problem, an args struct, the semantics), one
 * .inc list with a row per implementation, and one file per implementation. The list is the single
 * source: it declares the prototypes, builds the table below, and drives tests and benchmarks.
 * Choice: the first row, by falling priority, that this CPU has, that is not disabled, and that
 * does not refuse the problem. The row `ref` (scalar, f64 sums) takes everything and stands last.
 * After dav1d (src/pal.h: one table per family) and FFTW (kernel/solvtab.c: each solver is asked).
 */
#ifndef FILK_REGISTRY_H
#define FILK_REGISTRY_H

#include "base/ctx.h"

#define FILK_REASON 96

/* A row that prepares something once, such as a library's primitives: create, then run as often as
 * needed, from the context that created it. What create takes is the plan itself and, inside a
 * library, memory that only the library can size; workspace and packed weights belong to the caller
 * and their sizes are known before the first run. run allocates nothing through the context. */
typedef struct filk_plan_ops {
    fil_status (*create)(fil_ctx *ctx, const void *problem, void **plan);
    void (*destroy)(fil_ctx *ctx, void **plan); /* accepts NULL in *plan; sets NULL */
    size_t (*workspace)(const void *plan);      /* bytes, for the context's threads */
    size_t (*packed_bytes)(const void *plan);   /* 0 if the problem says that nothing is packed */
    fil_status (*pack)(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace);
    fil_status (*run)(fil_ctx *ctx, const void *plan, const void *args, void *workspace);
} filk_plan_ops;

typedef struct filk_row {
    const char *name; /* filk_<op>_<dtypes>_<variant>__<isa> */
    fili_isa    isa;
    int32_t     priority;
    /* NULL if the row takes the problem, else why not (static storage). */
    const char *(*refuse)(const void *problem);
    /* Bytes of workspace for n_threads threads. */
    size_t (*workspace)(const void *problem, int32_t n_threads);
    /* args is the family's args struct; workspace is aligned to 64 and as large as promised.
     * Neither allocates nor frees. */
    fil_status (*run)(fil_ctx *ctx, const void *problem, const void *args, void *workspace);
    /* Not NULL: used through a plan; workspace and run above are then NULL. */
    const filk_plan_ops *plan;
} filk_row;

/* A row of a list whose rows run without a plan. */
#define FILK_ROW_OF(stem, level, rank)                                                             \
    {.name      = #stem,                                                                           \
     .isa       = (level),                                                                         \
     .priority  = (rank),                                                                          \
     .refuse    = stem##_refuse,                                                                   \
     .workspace = stem##_workspace,                                                                \
     .run       = stem##_run},

typedef struct filk_family {
    const char     *name; /* "attention", "mass", ... */
    const filk_row *rows; /* by falling priority */
    int32_t         n_rows;
} filk_family;

/* All families. */
extern const filk_family *const filk_families[];
extern const int32_t            filk_n_families;

/* 1 if `row` would be taken for `problem` (NULL: whatever the problem) in this context; else 0, and
 * why not in `reason`. */
int filk_explain(const fil_ctx *ctx, const filk_family *family, const filk_row *row,
                 const void *problem, char reason[FILK_REASON]);

/* The row is not chosen any more in this context: it has failed the self-test. */
void filk_disable(fil_ctx *ctx, const filk_family *family, const filk_row *row);

/* The row to use. `name`: NULL, or the row that the caller insists on. E_UNSUP with every reason.
 */
FIL_MUSTCHECK fil_status filk_select(fil_ctx *ctx, const filk_family *family, const void *problem,
                                     const char *name, const filk_row **row);

#endif
