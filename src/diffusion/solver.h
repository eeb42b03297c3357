/* diffusion/solver.h: from one noise level to the next.
 *
 * The model answers v = noise - x0, so x0 = x - sigma v. A solver turns x at sigma[i] and v into x
 * at sigma[i + 1]. What it remembers between steps is one plain struct and three arrays of the size
 * of x, so that a run can be saved after any step and continued with the same bits. Every step is a
 * linear combination of these arrays; coefficients and products are f64, rounded once when stored.
 *
 *     unipc   UniPC (Zhao et al., arXiv 2302.04867), order 2, B2(h) = e^h - 1, x0-prediction
 *     dpmpp   DPM-Solver++ 2M, midpoint (Lu et al., arXiv 2211.01095)
 *     euler   x += (sigma' - sigma) v
 *     dmd     x0 with fresh noise at the next level: few-step checkpoints of FastWan
 */
#ifndef FILI_DIFFUSION_SOLVER_H
#define FILI_DIFFUSION_SOLVER_H

#include "base/rng.h"
#include "diffusion/sigmas.h"

/* X(name in options, ENUM) */
#define FILI_SAMPLER_LIST(X)                                                                       \
    X("unipc", UNIPC)                                                                              \
    X("dpmpp", DPMPP)                                                                              \
    X("euler", EULER)                                                                              \
    X("dmd", DMD)

typedef enum fili_sampler {
#define FILI_SAMPLER_ENUM(name, id) FILI_SAMPLER_##id,
    FILI_SAMPLER_LIST(FILI_SAMPLER_ENUM)
#undef FILI_SAMPLER_ENUM
        FILI_SAMPLERS
} fili_sampler;

const char *fili_sampler_name(fili_sampler sampler);
int         fili_sampler_from_name(const char *name); /* -1 if there is no such name */

/* What is to be saved beside x and the arrays. No pointers: copy it as it is. */
typedef struct fili_solver_state {
    int32_t      sampler; /* fili_sampler */
    int32_t      n_steps;
    int32_t      step;       /* steps done */
    int32_t      last_order; /* of the last prediction: 1 or 2; 0 before the first */
    int64_t      n;          /* values of x */
    fili_mt19937 rng;        /* dmd: where the stream of fresh noise is */
} fili_solver_state;

enum { FILI_SOLVER_ARRAYS = 3 };

typedef struct fili_solver {
    fil_ctx           *ctx;
    fili_solver_state  state;
    const fili_sigmas *sigmas; /* borrowed */
    float *arrays; /* [FILI_SOLVER_ARRAYS, n]: newest x0, the one before, last x (unipc);
                      dmd: fresh noise */
} fili_solver;

/* Bytes that a solver of n values takes: fixed, for any sampler. */
uint64_t fili_solver_bytes(int64_t n);

/* rng: the stream of noise behind the start's (noise.h); NULL where no fresh noise will be asked
 * for. sigmas outlive the solver. E_ARG: dmd without a stream; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_solver_init(fili_solver *s, fil_ctx *ctx, fili_sampler sampler,
                                          const fili_sigmas *sigmas, int64_t n,
                                          const fili_mt19937 *rng);

/* x[n] at sigma[step] becomes x at sigma[step + 1]; v[n] is the model's answer. E_ARG: all steps
 * are done. */
FIL_MUSTCHECK fil_status fili_solver_step(fili_solver *s, const float *v, float *x);

/* Continues where another solver of the same sampler, steps and size was: `state` and `arrays` are
 * copies of its own, or arrays is s->arrays and holds them. E_MISMATCH if they do not fit. */
FIL_MUSTCHECK fil_status fili_solver_restore(fili_solver *s, const fili_solver_state *state,
                                             const float *arrays);

/* Idempotent. */
void fili_solver_fini(fili_solver *s);

/* One step each; called by fili_solver_step. */
void                     fili_step_unipc(fili_solver *s, const float *v, float *x);
void                     fili_step_dpmpp(fili_solver *s, const float *v, float *x);
void                     fili_step_euler(fili_solver *s, const float *v, float *x);
FIL_MUSTCHECK fil_status fili_step_dmd(fili_solver *s, const float *v, float *x);

/* Half the log of the signal-to-noise ratio: +inf at 0 and -inf at 1, which the formulas carry
 * through (a difference quotient towards infinity is 0). */
double fili_lambda(float sigma);

#endif
