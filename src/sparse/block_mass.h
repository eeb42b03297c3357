/* sparse/block_mass.h: exact masses of the block pairs of a sequence that attends to itself
 * (kernel/mass.h), with the memory that they need. As costly as dense attention: the base of
 * recall, of calibrated maps and of the oracle.
 */
#ifndef FILI_SPARSE_BLOCK_MASS_H
#define FILI_SPARSE_BLOCK_MASS_H

#include "base/arena.h"
#include "kernel/mass.h"
#include "sparse/blocks.h"

typedef struct fili_block_mass {
    fil_ctx          *ctx;
    filk_mass_problem problem;
    const filk_row   *row;
    void             *workspace;
    float            *mass; /* [H, M, M] of the last run */
    float            *lse;  /* [H, N] of the last run; NULL = not wanted */
} fili_block_mass;

/* Chooses the kernel; blocks are borrowed. Who lays out memory himself then sets workspace, mass
 * and lse. E_UNSUP. Nothing to close. */
FIL_MUSTCHECK fil_status fili_block_mass_plan(fili_block_mass *out, fil_ctx *ctx,
                                              const fili_blocks *blocks, int32_t heads,
                                              int32_t head_dim, fil_dtype dtype);

/* Takes the memory from `arena`; with_lse: the lse too. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_block_mass_take(fili_block_mass *m, fili_arena *arena, int with_lse);

/* Allocates nothing. */
FIL_MUSTCHECK fil_status fili_block_mass_run(const fili_block_mass *m, filk_attn_view q,
                                             filk_attn_view k, float scale);

#endif
