/* diffusion/noise.c: the start of a run (diffusion/noise.h). */
#include <math.h>

#include "diffusion/noise.h"

/* Words that torch draws for n numbers: one each, and 16 again for a ragged end. */
static int64_t words_of(int64_t n)
{
    return n % 16 == 0 ? n : n + 16;
}

fil_status fili_noise_begin(fil_ctx *ctx, uint64_t seed, float *out, int64_t n, fili_mt19937 *rng)
{
    fili_mt19937_seed(rng, seed);
    if (out != NULL) return fili_torch_randn_next(ctx, rng, out, n);
    for (int64_t i = 0; i < words_of(n); i++)
        (void)fili_mt19937_u32(rng);
    return FIL_OK;
}

fil_status fili_check_finite(fil_ctx *ctx, const char *what, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return FIL_FAIL(ctx, FIL_E_NONFINITE, "%s: value %lld of %lld is %s", what,
                            (long long)i, (long long)n, isnan(x[i]) ? "not a number" : "infinite");
    return FIL_OK;
}
