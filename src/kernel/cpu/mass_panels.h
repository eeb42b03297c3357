/* kernel/cpu/mass_panels.h: what all CPU rows of block mass share: keys in panels of 16, and tasks
 * of one query block of one head.
 *
 * The layout of attn_panels.h without values, sinks and tail: run b lies in panels run_first[b] to
 * run_first[b + 1], in order, so a kernel streams over all panels of a head and keeps one sum per
 * row and panel. Panels behind the last run fill up its group: packed as zeros, no lanes. The
 * layout is the same for every head.
 */
#ifndef FILK_CPU_MASS_PANELS_H
#define FILK_CPU_MASS_PANELS_H

#include "kernel/cpu/attn_panels.h"
#include "kernel/mass.h"

/* One query block of one head, ready to compute. */
typedef struct filk_mass_block {
    const filk_mass_problem *problem;
    const filk_mass_args    *args;
    int32_t                  head, block;
    int32_t                  first, rows; /* query rows, 1 to 64 */
    const char              *panels;      /* packed keys */
    const uint8_t           *lanes;       /* [n_panels] keys in each, 0 to 16 */
    int32_t                  n_panels;    /* a multiple of FILK_GROUP */
    const int32_t           *run_first;   /* [mk + 1] */
    void                    *scratch;     /* of the kernel, one per thread */
} filk_mass_block;

/* What one row brings. */
typedef struct filk_mass_kernel {
    size_t (*panel_bytes)(int32_t head_dim);
    size_t (*scratch_bytes)(int32_t n_panels, int32_t n_runs);
    /* Packs 16 keys; a NULL row pointer stands for zeros. */
    void (*pack)(const void *const k[FILK_PANEL], int32_t head_dim, void *panel);
    void (*block)(const filk_mass_block *block);
} filk_mass_kernel;

size_t filk_mass_panels_workspace(const filk_mass_problem *problem, const filk_mass_kernel *kernel,
                                  int32_t n_threads);
fil_status filk_mass_panels_run(fil_ctx *ctx, const filk_mass_problem *problem,
                                const filk_mass_args *args, const filk_mass_kernel *kernel,
                                void *workspace);

#endif
