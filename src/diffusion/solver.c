/* diffusion/solver.c: names, memory and dispatch of the solvers (diffusion/solver.h). The steps
 * themselves: solver_*.c.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "diffusion/solver.h"

static const char *const names[FILI_SAMPLERS] = {
#define FILI_SAMPLER_NAME(name, id) [FILI_SAMPLER_##id] = (name),
    FILI_SAMPLER_LIST(FILI_SAMPLER_NAME)
#undef FILI_SAMPLER_NAME
};

const char *fili_sampler_name(fili_sampler sampler)
{
    return (unsigned)sampler < FILI_SAMPLERS ? names[sampler] : "?";
}

int fili_sampler_from_name(const char *name)
{
    for (int i = 0; i < FILI_SAMPLERS; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

double fili_lambda(float sigma)
{
    return log(1.0 - (double)sigma) - log((double)sigma);
}

uint64_t fili_solver_bytes(int64_t n)
{
    uint64_t bytes;
    return fili_mul_u64((uint64_t)n, FILI_SOLVER_ARRAYS * sizeof(float), &bytes) ? bytes
                                                                                 : UINT64_MAX;
}

fil_status fili_solver_init(fili_solver *s, fil_ctx *ctx, fili_sampler sampler,
                            const fili_sigmas *sigmas, int64_t n, const fili_mt19937 *rng)
{
    *s = (fili_solver){.ctx = ctx, .sigmas = sigmas};
    FIL_CHECK(ctx, sampler != FILI_SAMPLER_DMD || rng != NULL,
              "the sampler dmd needs a stream of noise");
    void *block;
    FIL_TRY(fili_calloc(ctx, (size_t)n, FILI_SOLVER_ARRAYS * sizeof(float), "the solver's arrays",
                        &block));
    s->arrays        = block;
    s->state.sampler = (int32_t)sampler;
    s->state.n_steps = sigmas->n_steps;
    s->state.n       = n;
    if (rng != NULL) s->state.rng = *rng;
    return FIL_OK;
}

void fili_solver_fini(fili_solver *s)
{
    if (s->arrays != NULL) fili_free(s->ctx, s->arrays, (size_t)fili_solver_bytes(s->state.n));
    s->arrays = NULL;
}

fil_status fili_solver_step(fili_solver *s, const float *v, float *x)
{
    FIL_CHECK(s->ctx, s->state.step < s->state.n_steps, "all %d steps are done",
              (int)s->state.n_steps);
    switch ((fili_sampler)s->state.sampler) {
    case FILI_SAMPLER_UNIPC: fili_step_unipc(s, v, x); break;
    case FILI_SAMPLER_DPMPP: fili_step_dpmpp(s, v, x); break;
    case FILI_SAMPLER_DMD: FIL_TRY(fili_step_dmd(s, v, x)); break;
    default: fili_step_euler(s, v, x); break;
    }
    s->state.step++;
    return FIL_OK;
}

fil_status fili_solver_restore(fili_solver *s, const fili_solver_state *state, const float *arrays)
{
    const fili_solver_state *mine = &s->state;
    if (state->sampler != mine->sampler || state->n_steps != mine->n_steps || state->n != mine->n)
        return FIL_FAIL(s->ctx, FIL_E_MISMATCH,
                        "saved sampler: %s, %d steps, %lld values; this run: %s, %d steps, %lld",
                        fili_sampler_name((fili_sampler)state->sampler), (int)state->n_steps,
                        (long long)state->n, fili_sampler_name((fili_sampler)mine->sampler),
                        (int)mine->n_steps, (long long)mine->n);
    if (state->step < 0 || state->step > state->n_steps || state->last_order < 0 ||
        state->last_order > 2 || state->rng.next < 0 || state->rng.next > 624)
        return FIL_FAIL(s->ctx, FIL_E_MISMATCH, "saved sampler: step %d, order %d, stream at %d",
                        (int)state->step, (int)state->last_order, (int)state->rng.next);
    s->state = *state;
    if (arrays != s->arrays) memcpy(s->arrays, arrays, (size_t)fili_solver_bytes(state->n));
    return FIL_OK;
}
