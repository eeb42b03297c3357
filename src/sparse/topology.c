/* sparse/topology.c: sizes of a topology, and whether it belongs to a run (sparse/topology.h). */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "sparse/topology.h"

fil_status fili_topology_blocks(fili_blocks *out, const fili_order *order, int32_t block)
{
    fili_blocks half;
    *out = (fili_blocks){.ctx = order->ctx};
    FIL_CHECK(order->ctx, block == 64 || block == 128, "blocks of %d tokens; expected 64 or 128",
              (int)block);
    if (block == 64) return fili_blocks_from_order(out, order);
    FIL_TRY(fili_blocks_from_order(&half, order));
    const fil_status status = fili_blocks_pairs(out, &half);
    fili_blocks_fini(&half);
    return status;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static uint64_t product(const int32_t *factor, int n)
{
    uint64_t p = 1;
    for (int i = 0; i < n; i++)
        if (!fili_mul_u64(p, (uint64_t)factor[i], &p)) return UINT64_MAX;
    return p;
}

uint64_t fili_topology_map_bytes(const fili_topology_info *info)
{
    return product((const int32_t[]){info->heads, info->m, info->m}, 3);
}

uint64_t fili_topology_layer_bytes(const fili_topology_info *info)
{
    return product((const int32_t[]){info->groups, info->passes, info->heads, info->m, info->m}, 5);
}

uint64_t fili_topology_profile_bytes(const fili_topology_info *info)
{
    return product((const int32_t[]){info->layers, info->steps, info->passes, info->heads,
                                     info->n_levels, (int32_t)sizeof(float)},
                   6);
}

uint64_t fili_topology_file_bytes(const fili_topology_info *info)
{
    uint64_t bytes;
    if (!fili_mul_u64(fili_topology_layer_bytes(info), (uint64_t)info->layers, &bytes))
        return UINT64_MAX;
    const uint64_t more[] = {
        fili_topology_profile_bytes(info), fili_topology_profile_bytes(info),
        fili_topology_profile_bytes(info),
        product((const int32_t[]){info->layers, info->steps, info->passes, info->heads}, 4),
        (uint64_t)(info->n_levels + info->steps) * sizeof(float)};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (!fili_add_u64(bytes, more[i], &bytes)) return UINT64_MAX;
    return bytes;
}

/* ---- does it belong here? ------------------------------------------------------------------- */

static fil_status check_numbers(const fili_topology *t, const fili_topology_run *r)
{
    const fili_topology_info *i = &t->info;
    const struct number {
        const char *what;
        int32_t     have, want;
        bool        fits;
    } numbers[] = {{"layers", i->layers, r->layers, r->single || r->layers == i->layers},
                   {"heads", i->heads, r->heads, r->heads == i->heads},
                   {"steps", i->steps, r->steps, r->single || r->steps == i->steps}};
    if (r->single && (r->layers > i->layers || r->steps > i->steps))
        return FIL_FAIL(t->ctx, FIL_E_MISMATCH,
                        "the topology is for %d layers and %d steps; this call is in layer %d of "
                        "step %d",
                        (int)i->layers, (int)i->steps, (int)r->layers - 1, (int)r->steps - 1);
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++)
        if (numbers[k].want != 0 && !numbers[k].fits)
            return FIL_FAIL(t->ctx, FIL_E_MISMATCH, "the topology is for %d %s; this run has %d",
                            (int)numbers[k].have, numbers[k].what, (int)numbers[k].want);
    if (r->passes != 0 && i->passes != 1 && i->passes < r->passes)
        return FIL_FAIL(t->ctx, FIL_E_MISMATCH,
                        "the topology is for %d passes a step; this run has %d", (int)i->passes,
                        (int)r->passes);
    return FIL_OK;
}

static fil_status check_sigmas(const fili_topology *t, const fili_topology_run *r)
{
    if (r->sigmas == NULL || r->steps == 0 || r->single) return FIL_OK;
    for (int32_t s = 0; s < t->info.steps; s++) {
        const double have = (double)t->sigmas[s];
        const double want = (double)r->sigmas[s];
        if (!(fabs(have - want) <= 1e-4))
            return FIL_FAIL(t->ctx, FIL_E_MISMATCH,
                            "the topology is for another grid of sigmas (%s): step %d is at %.4f, "
                            "in this run at %.4f",
                            t->info.sigma_grid, (int)s, have, want);
    }
    return FIL_OK;
}

fil_status fili_topology_fits(const fili_topology *t, const fili_topology_run *run)
{
    const fili_topology_info *i = &t->info;
    if (run->model_hash != NULL && strcmp(run->model_hash, i->model_hash) != 0)
        return FIL_FAIL(t->ctx, FIL_E_MISMATCH,
                        "the topology is for another model: its hash is %.12s, this model's %.12s",
                        i->model_hash, run->model_hash);
    FIL_TRY(check_numbers(t, run));
    if (run->sampler != NULL && strcmp(run->sampler, i->sampler) != 0)
        return FIL_FAIL(t->ctx, FIL_E_MISMATCH,
                        "the topology is for the sampler %s; this run has %.60s", i->sampler,
                        run->sampler);
    if (run->shift > 0.0 && !(fabs(run->shift - i->shift) <= 1e-6 * i->shift))
        return FIL_FAIL(t->ctx, FIL_E_MISMATCH, "the topology is for shift %g; this run has %g",
                        i->shift, run->shift);
    return check_sigmas(t, run);
}
