/* engine/calibrate_profile.c: what each level of each map is worth, and budgets (calibration.h).
 *
 * One more dense run, of the first prompt from noise that the maps have not seen: on sampled rows
 * of every call the fidelity and the output error (tail on) of all levels. The error of a head is
 * its squared distance to dense output, over the mean square of the layer's heads, so that heads
 * and layers compare. Densities are counted from the maps. Where passes are united, their mean.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "engine/calibration.h"

static size_t profile_at(const fili_calibration *c, int32_t layer, int32_t step, int32_t pass)
{
    const fili_topology_info *i  = &c->info;
    const size_t              at = ((size_t)layer * (size_t)i->steps + (size_t)step);
    return (at * (size_t)i->passes + (size_t)pass) * (size_t)i->heads * (size_t)i->n_levels;
}

/* ---- a call --------------------------------------------------------------------------------- */

/* Query block of each sampled row among the blocks of the maps. */
static void find_blocks(const fili_calibration *c, int32_t *block)
{
    int32_t b = 0;
    for (int32_t r = 0; r < c->plan.rows; r++) {
        while (c->map_blocks.offset[b + 1] <= c->sample[r])
            b++;
        block[r] = b;
    }
}

static void add_fidelity(const fili_calibration *c, const uint8_t *map, int32_t h, double share,
                         float *to)
{
    const fili_topology_info *i = &c->info;
    int32_t                   block[FILI_CALIBRATE_ROWS];
    double                    fidelity[FILI_LEVELS_MOST];
    find_blocks(c, block);
    const fili_row_masses rows = {.mass =
                                      c->row_mass + (size_t)h * (size_t)c->plan.rows * (size_t)i->m,
                                  .block = block,
                                  .n     = c->plan.rows};
    fili_profile_fidelity(map + (size_t)h * (size_t)i->m * (size_t)i->m, i->m, &rows, c->kind,
                          i->n_levels, fidelity);
    for (int32_t k = 0; k < i->n_levels; k++)
        to[k] += (float)(share * fidelity[k]);
}

/* Mean square of a head's dense output on the sampled rows, over the heads. */
static double mean_energy(const fili_calibration *c)
{
    const int32_t n   = c->info.heads * c->plan.rows;
    double        sum = 0.0;
    for (int32_t r = 0; r < n; r++)
        sum += c->row_energy[r];
    return sum / (double)c->info.heads;
}

static void add_error(const fili_calibration *c, int32_t h, double share, float *to)
{
    const int32_t levels = c->info.n_levels;
    const double  energy = mean_energy(c);
    for (int32_t k = 0; k < levels; k++) {
        double sum = 0.0;
        for (int32_t r = 0; r < c->plan.rows; r++)
            sum += c->row_error[((size_t)h * (size_t)c->plan.rows + (size_t)r) * (size_t)levels +
                                (size_t)k];
        if (energy > 0.0) to[k] += (float)(share * sum / energy);
    }
}

/* A fili_dit_choose_fn; user is the calibration. The choice stays dense. */
static fil_status profile(void *user, fili_policy_call *call, fili_policy_choice *choice)
{
    const fili_calibration   *c     = user;
    const fili_topology_info *i     = &c->info;
    const int32_t             pass  = i->passes == 1 ? 0 : call->pass;
    const int32_t             group = c->step_group[call->step];
    const uint8_t            *map   = c->map + fili_map_at(c, call->layer, group, pass);
    const size_t              at    = profile_at(c, call->layer, call->step, pass);
    const double              share = (double)i->passes / (double)c->plan.passes;
    fili_policy_rows          rows;
    FIL_TRY(fili_policy_bring(call, 0, call->order->n, &rows));
    const fili_row_args args = {.q        = rows.q,
                                .k        = rows.k,
                                .v        = rows.v,
                                .dtype    = call->dtype,
                                .heads    = i->heads,
                                .head_dim = call->head_dim,
                                .scale    = call->scale,
                                .blocks   = &c->blocks,
                                .row      = c->sample,
                                .n_rows   = c->plan.rows,
                                .map      = map,
                                .m        = i->m,
                                .per      = i->block / 64,
                                .n_levels = i->n_levels,
                                .tail     = 1,
                                .scratch  = c->row_space,
                                .mass     = c->row_mass,
                                .error    = c->row_error,
                                .energy   = c->row_energy};
    (void)choice;
    FIL_TRY(fili_row_profile(c->ctx, &args));
    for (int32_t h = 0; h < i->heads; h++) {
        const size_t to = at + (size_t)h * (size_t)i->n_levels;
        add_fidelity(c, map, h, share, c->fidelity + to);
        add_error(c, h, share, c->error + to);
    }
    return FIL_OK;
}

/* ---- densities ------------------------------------------------------------------------------ */

/* A task is the map of one head; steps of a group have the same. */
static fil_status count_map(void *arg, int64_t task, int32_t worker)
{
    const fili_calibration   *c     = arg;
    const fili_topology_info *i     = &c->info;
    const int64_t             maps  = (int64_t)i->passes * i->heads;
    const int32_t             layer = (int32_t)(task / maps / i->groups);
    const int32_t             group = (int32_t)(task / maps % i->groups);
    const size_t              head  = (size_t)(task % maps);
    double                    density[FILI_LEVELS_MOST];
    (void)worker;
    fili_profile_density(c->map + (size_t)task * (size_t)i->m * (size_t)i->m, &c->map_blocks,
                         i->n_levels, density);
    for (int32_t s = 0; s < i->steps; s++) {
        float *to = c->density + profile_at(c, layer, s, 0) + head * (size_t)i->n_levels;
        if (c->step_group[s] != group) continue;
        for (int32_t k = 0; k < i->n_levels; k++)
            to[k] = (float)density[k];
    }
    return FIL_OK;
}

static fil_status count_densities(fili_calibration *c)
{
    const fili_topology_info *i     = &c->info;
    const int64_t             tasks = (int64_t)i->layers * i->groups * i->passes * i->heads;
    return fili_pool_run(c->ctx, "densities of maps", tasks, count_map, c);
}

/* Sums of shares may pass 1 by an ulp. */
static void clip(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = values[i] > 1.0f ? 1.0f : values[i];
}

/* ---- budgets, and the file ------------------------------------------------------------------ */

static fil_status find_budgets(const fili_calibration *c, fil_calibrate_result *result)
{
    const fili_topology_info *i       = &c->info;
    const fili_profile        profile = {.layers   = i->layers,
                                         .steps    = i->steps,
                                         .passes   = i->passes,
                                         .heads    = i->heads,
                                         .levels   = i->n_levels,
                                         .density  = c->density,
                                         .fidelity = c->fidelity,
                                         .error    = c->error};
    fili_budgets_result       found;
    FIL_TRY(fili_budgets_find(c->ctx, &profile, &c->wish, c->budget, &found));
    result->density   = found.density;
    result->fidelity  = found.fidelity;
    result->reachable = found.reachable;
    result->beta      = found.surface.beta;
    result->gamma     = found.surface.gamma;
    result->omega     = found.surface.omega;
    if (found.reachable) return FIL_OK;
    fili_log(c->ctx, FIL_LOG_WARNING,
             "no %s budgets of this table are so sparse: theirs come to a density of %.3f",
             fili_budgets_name(c->wish.kind), found.density);
    return FIL_OK;
}

static fil_status write_file(const fili_calibration *c)
{
    const fili_topology_data data = {.map        = c->map,
                                     .levels     = c->levels,
                                     .step_group = c->step_group,
                                     .sigmas     = c->sigmas,
                                     .density    = c->density,
                                     .fidelity   = c->fidelity,
                                     .error      = c->error,
                                     .budget     = c->budget};
    return fili_topology_write(c->ctx, c->o.output, &c->info, &data, c->o.replace);
}

fil_status fili_calibration_profile(fili_calibration *c, fil_calibrate_result *result)
{
    const uint64_t   total  = (uint64_t)c->plan.prompts + 1;
    const fil_status status = fili_calibration_render(c, c->plan.prompts, profile);
    if (status != FIL_OK) {
        fili_error_frame(c->ctx, "the run of the profile");
        return status;
    }
    clip(c->fidelity, profile_at(c, c->info.layers, 0, 0));
    FIL_TRY(count_densities(c));
    FIL_TRY(find_budgets(c, result));
    FIL_TRY(write_file(c));
    fili_progress(c->ctx, "calibrate", total, total);
    return FIL_OK;
}
