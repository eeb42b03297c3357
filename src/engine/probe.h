/* engine/probe.h: a probe from the inside (filigree/probe.h).
 *
 *     probe_file.c     q, k, v of a file, in the order of the policy; what is written
 *     probe_measure.c  recall and errors against the dense result
 *     probe_api.c      the steps, and their times
 */
#ifndef FILI_ENGINE_PROBE_H
#define FILI_ENGINE_PROBE_H

#include "base/arena.h"
#include "filigree/probe.h"
#include "io/tensors.h"
#include "nn/attend.h"
#include "sparse/block_mass.h"
#include "sparse/policy.h"

typedef struct fili_probe {
    fil_ctx          *ctx;
    fil_probe_options o;
    fili_arena        arena;
    fili_tensors      set; /* the file */
    fili_policy_setup setup;
    int32_t           layer, step;
    int64_t           n; /* tokens */
    fili_policy      *policy;
    fili_attend       attend, exact;   /* of the run's type, in f32 */
    void            *q, *k, *v, *gate; /* [N, H, D] of the run's type, in order; gate may be NULL */
    float           *q32, *k32, *v32;  /* the same in f32; the same memory where that is the type */
    void            *out, *dense_out;  /* [N, H, D] of the run's type */
    float           *want, *got;       /* [N, H, D] f32: exact dense, what was computed */
    fili_block_mass  dense_mass;       /* of q32 and k32 */
    void            *workspace;
    fili_policy_call call;
    fili_policy_choice choice;
} fili_probe;

/* Opens the file and finds sizes, grid, layer and step: setup. */
FIL_MUSTCHECK fil_status fili_probe_look(fili_probe *p);
/* Reads the tensors into the policy's order. */
FIL_MUSTCHECK fil_status fili_probe_read(fili_probe *p);
/* Writes mask and output as asked for. */
FIL_MUSTCHECK fil_status fili_probe_write(fili_probe *p);

/* mass and lse of the dense distribution, and the figures. */
FIL_MUSTCHECK fil_status fili_probe_measure(fili_probe *p, fil_probe_result *result,
                                            fil_probe_figures *heads, int32_t max_heads);

/* Elements of q. */
static inline int64_t fili_probe_elements(const fili_probe *p)
{
    return p->n * p->setup.heads * p->setup.head_dim;
}

#endif
