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
} filk_row;

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
