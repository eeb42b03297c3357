/* engine/calibrate_check.c: what fil_calibrate finds out before it begins (calibration.h): options,
 * every prompt as a job of fil_generate, sizes of maps, the memory that all of it takes, and what
 * a state of an earlier call must agree with. Reads headers, and samples of weights for the hash.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "engine/calibration.h"
#include "wan/dit_hash.h"

void fil_calibrate_options_init(fil_calibrate_options *options)
{
    *options = (fil_calibrate_options){.struct_size     = (uint32_t)sizeof *options,
                                       .block           = FIL_AUTO,
                                       .step_groups     = FIL_AUTO,
                                       .levels          = 64,
                                       .rows            = 16,
                                       .density         = FIL_AUTO,
                                       .wanted_fidelity = FIL_AUTO};
}

/* ---- options -------------------------------------------------------------------------------- */

/* Which of two names; `usual` where none is given. */
static fil_status choose(fil_ctx *ctx, const char *what, const char *given, const char *usual,
                         const char *other, int32_t *is_other)
{
    *is_other = given != NULL && strcmp(given, other) == 0;
    FIL_CHECK(ctx, given == NULL || *is_other || strcmp(given, usual) == 0,
              "%s: expected %s or %s, found '%.60s'", what, usual, other, given);
    return FIL_OK;
}

static fil_status check_share(fil_ctx *ctx, const char *what, double x)
{
    FIL_CHECK(ctx, x == (double)FIL_AUTO || (x > 0.0 && x <= 1.0),
              "%s: expected above 0 and at most 1, found %g", what, x);
    return FIL_OK;
}

static fil_status take_wish(fili_calibration *c)
{
    const fil_calibrate_options *o = &c->o;
    const int                    kind =
        o->budgets == NULL ? (int)FILI_BUDGETS_FAST : fili_budgets_from_name(o->budgets);
    FIL_CHECK(c->ctx, kind >= 0, "budgets: expected fast, uniform or error, found '%.60s'",
              o->budgets);
    FIL_TRY(check_share(c->ctx, "density", o->density));
    FIL_TRY(check_share(c->ctx, "fidelity", o->wanted_fidelity));
    const bool density  = o->density != (double)FIL_AUTO;
    const bool fidelity = o->wanted_fidelity != (double)FIL_AUTO;
    FIL_CHECK(c->ctx, !density || !fidelity, "expected a density or a fidelity, found both");
    fili_budgets_wish_init(&c->wish);
    c->wish.kind = (fili_budgets_kind)kind;
    if (fidelity)
        c->wish.fidelity = o->wanted_fidelity;
    else
        c->wish.density = density ? o->density : 0.5;
    return FIL_OK;
}

static fil_status check_numbers(const fili_calibration *c)
{
    const fil_calibrate_options *o = &c->o;
    FIL_CHECK(c->ctx, o->block == FIL_AUTO || o->block == 64 || o->block == 128,
              "block: expected 64 or 128, found %d", (int)o->block);
    FIL_CHECK(c->ctx, o->levels >= 2 && o->levels <= FILI_LEVELS_MOST,
              "levels: expected 2 to %d, found %d", FILI_LEVELS_MOST, (int)o->levels);
    FIL_CHECK(c->ctx, o->rows >= 1 && o->rows <= FILI_CALIBRATE_ROWS,
              "rows: expected 1 to %d, found %d", FILI_CALIBRATE_ROWS, (int)o->rows);
    FIL_CHECK(c->ctx, o->step_groups == FIL_AUTO || o->step_groups >= 1,
              "step groups: expected 1 or more, found %d", (int)o->step_groups);
    FIL_CHECK(c->ctx, o->split == 0 || o->split == 1, "split: expected 0 or 1, found %d",
              (int)o->split);
    return FIL_OK;
}

static fil_status check_run(const fili_calibration *c)
{
    const fil_generate_options *r = &c->run;
    FIL_CHECK(c->ctx,
              r->video == NULL && r->save_noise == NULL && r->save_latents == NULL &&
                  r->save_frames == NULL && r->frame == NULL,
              "a calibration keeps no video, frames, latents or noise; expected no path for them");
    FIL_CHECK(c->ctx, r->noise == NULL, "a calibration draws its noise; expected no file of it");
    FIL_CHECK(c->ctx, r->mask == NULL && r->policy == NULL,
              "a calibration runs dense; expected no mask and no policy");
    FIL_CHECK(c->ctx, r->prompt == NULL, "expected prompts in a file, found one beside it");
    return FIL_OK;
}

static fil_status take_options(fili_calibration *c, const fil_calibrate_options *options)
{
    int32_t raw;
    fil_calibrate_options_init(&c->o);
    FIL_TRY(fili_take_options(c->ctx, "fil_calibrate_options", &c->o, sizeof c->o, options));
    FIL_CHECK(c->ctx, c->o.run != NULL, "fil_calibrate_options: run is NULL");
    FIL_CHECK(c->ctx, c->o.prompt_file != NULL, "expected a file of prompts, found none");
    FIL_CHECK(c->ctx, c->o.output != NULL, "expected an output for the topology, found none");
    fil_generate_options_init(&c->run);
    FIL_TRY(fili_take_options(c->ctx, "fil_generate_options", &c->run, sizeof c->run, c->o.run));
    FIL_TRY(check_run(c));
    FIL_TRY(check_numbers(c));
    FIL_TRY(choose(c->ctx, "map", c->o.map, "union", "mean", &c->is_mean));
    FIL_TRY(choose(c->ctx, "fidelity", c->o.fidelity, "renorm", "raw", &raw));
    c->kind = raw ? FILI_FIDELITY_RAW : FILI_FIDELITY_RENORM;
    return take_wish(c);
}

static fil_status take_paths(fili_calibration *c)
{
    static const char ending[] = ".state";
    const size_t      bytes    = strlen(c->o.output) + sizeof ending;
    void             *text;
    FIL_CHECK(c->ctx, !fili_same_path(c->ctx, c->o.output, c->o.prompt_file),
              "'%.160s' is to be read and written; expected another output", c->o.output);
    FIL_TRY(fili_output_check(c->ctx, "output", c->o.output, c->o.replace));
    FIL_TRY(fili_arena_alloc(&c->arena, bytes, &text));
    snprintf(text, bytes, "%s%s", c->o.output, ending);
    c->state_path = text;
    return fili_prompts_read(&c->arena, c->o.prompt_file, &c->prompt, &c->plan.prompts);
}

/* ---- the model and its runs ----------------------------------------------------------------- */

fil_status fili_calibration_job(const fili_calibration *c, int32_t i, fili_job *job)
{
    fil_generate_options o = c->run;
    o.prompt               = c->prompt[i < c->plan.prompts ? i : 0];
    o.seed                 = c->run.seed + (uint64_t)i;
    *job = (fili_job){.ctx = c->ctx, .model = c->model, .bare = true, .reads_rows = true};
    const fil_status status = fili_job_check(job, &o);
    if (status != FIL_OK) fili_error_frame(c->ctx, "prompt %d", (int)i + 1);
    return status;
}

static void copy_text(char to[FILI_TOPOLOGY_NAME], const char *text)
{
    snprintf(to, FILI_TOPOLOGY_NAME, "%s", text);
}

/* What the first prompt's job tells of all of them. */
static fil_status take_model(fili_calibration *c, const fili_job *job)
{
    fili_topology_info *i = &c->info;
    const fil_plan     *p = &job->plan;
    i->grid               = (fili_grid){.f = p->latent_frames,
                                        .h = p->latent_height / job->dit.patch_h,
                                        .w = p->latent_width / job->dit.patch_w};
    i->layers             = job->dit.layers;
    i->heads              = job->dit.heads;
    i->steps              = p->steps;
    i->passes             = c->o.split ? p->passes : 1;
    i->shift              = p->shift;
    c->head_dim           = job->dit.dim / job->dit.heads;
    c->dtype              = job->o.precision;
    copy_text(i->sampler, p->sampler);
    copy_text(i->sigma_grid, p->grid);
    memcpy(c->sigmas, job->sigmas.sigma, ((size_t)p->steps + 1) * sizeof *c->sigmas);
    FIL_CHECK(c->ctx, i->layers <= FILI_TOPOLOGY_LAYERS,
              "a model of %d layers; a topology has at most %d", (int)i->layers,
              FILI_TOPOLOGY_LAYERS);
    c->run.negative = p->passes == 2 ? job->o.negative : "";
    return fili_dit_hash(job->dit_weights, &job->dit, i->model_hash);
}

/* Every prompt is checked as it would be rendered; the plan is that of the largest. What lies open
 * while a prompt is rendered (directories of files, the job itself) is no part of that plan: it is
 * counted here. */
static fil_status check_jobs(fili_calibration *c, fili_job *job, uint64_t before)
{
    for (int32_t i = 0; i < c->plan.prompts; i++) {
        fil_status     status = fili_calibration_job(c, i, job);
        const uint64_t held   = c->ctx->memory.used - before;
        c->held_bytes         = held > c->held_bytes ? held : c->held_bytes;
        if (status == FIL_OK && i == 0) status = take_model(c, job);
        if (status == FIL_OK && job->plan.peak_bytes > c->plan.run.peak_bytes)
            c->plan.run = job->plan;
        fili_job_fini(job);
        FIL_TRY(status);
    }
    return FIL_OK;
}

static fil_status look_at_jobs(fili_calibration *c)
{
    const uint64_t before = c->ctx->memory.used - c->arena.used - sizeof *c;
    void          *block;
    FIL_TRY(fili_alloc(c->ctx, sizeof(fili_job), "a run", &block));
    const fil_status status = check_jobs(c, block, before);
    fili_free(c->ctx, block, sizeof(fili_job));
    return status;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static fil_status make_blocks(fili_calibration *c)
{
    fili_topology_info *i = &c->info;
    fili_order_spec     spec;
    snprintf(i->order, sizeof i->order, "%s",
             c->o.order != NULL ? c->o.order : "hilbert-cubes 4x4x4");
    FIL_TRY(fili_order_parse(c->ctx, c->o.order != NULL ? c->o.order : i->order, &spec));
    FIL_TRY(fili_order_init(&c->order, c->ctx, i->grid, &spec));
    FIL_TRY(fili_blocks_from_order(&c->blocks, &c->order));
    i->block = c->o.block != FIL_AUTO ? c->o.block : i->heads > 24 ? 128 : 64;
    FIL_TRY(fili_topology_blocks(&c->map_blocks, &c->order, i->block));
    i->m = c->map_blocks.m;
    return FIL_OK;
}

static fil_status make_groups(fili_calibration *c)
{
    fili_topology_info *i     = &c->info;
    const int32_t       usual = i->steps < 10 ? i->steps : 10;
    i->groups                 = c->o.step_groups != FIL_AUTO ? c->o.step_groups : usual;
    FIL_CHECK(c->ctx, i->groups <= i->steps, "step groups: expected at most the %d steps, found %d",
              (int)i->steps, (int)i->groups);
    for (int32_t s = 0; s < i->steps; s++)
        c->step_group[s] = (int32_t)((int64_t)s * i->groups / i->steps);
    i->n_levels = c->o.levels;
    fili_levels_even(c->levels, i->n_levels);
    copy_text(i->map, c->is_mean ? "mean" : "union");
    copy_text(i->fidelity, c->kind == FILI_FIDELITY_RAW ? "raw" : "renorm");
    return FIL_OK;
}

static fil_status choose_kernel(fili_calibration *c)
{
    const fili_topology_info *i = &c->info;
    c->plan.rows                = c->o.rows < c->order.n ? c->o.rows : c->order.n;
    fili_row_sample(c->run.seed, c->order.n, c->plan.rows, c->sample);
    return fili_block_mass_plan(&c->exact, c->ctx, &c->blocks, i->heads, c->head_dim, c->dtype);
}

/* ---- memory --------------------------------------------------------------------------------- */

enum {
    PIECE_MAP,
    PIECE_SUM,
    PIECE_MASS,
    PIECE_PAIRS,
    PIECE_MASS_SPACE,
    PIECE_WEST_SPACE,
    PIECE_ROW_SPACE,
    PIECE_ROW_MASS,
    PIECE_ROW_ERROR,
    PIECE_ROW_ENERGY,
    PIECE_DENSITY,
    PIECE_FIDELITY,
    PIECE_ERROR,
    PIECE_BUDGET,
    PIECE_GROWTH,
    PIECES
};

static size_t times(size_t a, uint64_t b)
{
    size_t product;
    return b > SIZE_MAX || !fili_mul_size(a, (size_t)b, &product) ? SIZE_MAX : product;
}

static void list_pieces(const fili_calibration *c, size_t bytes[PIECES])
{
    const fili_topology_info *i       = &c->info;
    const size_t              threads = (size_t)c->ctx->n_threads;
    const size_t              maps    = times((size_t)i->layers, fili_topology_layer_bytes(i));
    const size_t              rows    = (size_t)i->heads * (size_t)c->plan.rows;
    const size_t              profile = times(1, fili_topology_profile_bytes(i));
    const size_t              mass =
        times(times((size_t)i->heads, (uint64_t)c->blocks.m), (uint64_t)c->blocks.m);
    bytes[PIECE_MAP]  = maps;
    bytes[PIECE_SUM]  = c->is_mean ? times(maps, sizeof(float)) : 0;
    bytes[PIECE_MASS] = times(mass, sizeof(float));
    bytes[PIECE_PAIRS] =
        i->block == 64 ? 0 : times(times(1, fili_topology_map_bytes(i)), sizeof(float));
    bytes[PIECE_MASS_SPACE] = c->exact.row->workspace(&c->exact.problem, c->ctx->n_threads);
    bytes[PIECE_WEST_SPACE] = times(threads, fili_west_scratch(i->m));
    bytes[PIECE_ROW_SPACE] =
        times(threads, fili_row_scratch(c->order.n, i->m, c->head_dim, i->n_levels));
    bytes[PIECE_ROW_MASS]   = times(times(rows, (uint64_t)i->m), sizeof(float));
    bytes[PIECE_ROW_ERROR]  = times(times(rows, (uint64_t)i->n_levels), sizeof(double));
    bytes[PIECE_ROW_ENERGY] = times(rows, sizeof(double));
    bytes[PIECE_DENSITY] = bytes[PIECE_FIDELITY] = bytes[PIECE_ERROR] = profile;
    bytes[PIECE_BUDGET] = profile / (size_t)i->n_levels / sizeof(float);
    bytes[PIECE_GROWTH] = (size_t)c->plan.prompts * sizeof(fili_growth_row);
}

static size_t all_pieces(const size_t bytes[PIECES])
{
    size_t sum = 0;
    for (int i = 0; i < PIECES; i++)
        if (!fili_add_size(sum, fili_arena_piece(bytes[i]), &sum)) return SIZE_MAX;
    return sum;
}

fil_status fili_calibration_memory(fili_calibration *c)
{
    size_t bytes[PIECES];
    void  *at[PIECES];
    list_pieces(c, bytes);
    FIL_TRY(fili_arena_fix(&c->memory, all_pieces(bytes)));
    for (int i = 0; i < PIECES; i++)
        FIL_TRY(fili_arena_calloc(&c->memory, 1, bytes[i], &at[i]));
    c->map             = at[PIECE_MAP];
    c->sum             = at[PIECE_SUM];
    c->pairs           = at[PIECE_PAIRS];
    c->exact.mass      = at[PIECE_MASS];
    c->exact.workspace = at[PIECE_MASS_SPACE];
    c->west_space      = at[PIECE_WEST_SPACE];
    c->row_space       = at[PIECE_ROW_SPACE];
    c->row_mass        = at[PIECE_ROW_MASS];
    c->row_error       = at[PIECE_ROW_ERROR];
    c->row_energy      = at[PIECE_ROW_ENERGY];
    c->density         = at[PIECE_DENSITY];
    c->fidelity        = at[PIECE_FIDELITY];
    c->error           = at[PIECE_ERROR];
    c->budget          = at[PIECE_BUDGET];
    c->growth          = at[PIECE_GROWTH];
    return FIL_OK;
}

/* Arenas of a job and of its rows round up to chunks of 16 KiB. */
enum { ROUNDING = 64 * 1024 };

static uint64_t plus(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return fili_add_u64(a, b, &sum) ? sum : UINT64_MAX;
}

/* One product of queries and keys per map, measured or not. */
static double mass_flops(const fili_calibration *c)
{
    const double n = (double)c->order.n;
    return 2.0 * c->head_dim * n * n * c->info.heads * c->info.layers * c->info.steps *
           c->plan.run.passes;
}

static fil_status check_disk(const fili_calibration *c)
{
    const int32_t        left     = c->plan.prompts - c->plan.done;
    const fili_disk_file state    = {.what   = "the state between prompts",
                                     .path   = left > 0 ? c->state_path : NULL,
                                     .bytes  = c->plan.state_bytes,
                                     .manner = left > 1 ? FILI_DISK_AGAIN : FILI_DISK_WHOLE,
                                     .passes = true};
    const fili_disk_file topology = {.what   = "the topology",
                                     .path   = c->o.output,
                                     .bytes  = c->plan.file_bytes,
                                     .manner = FILI_DISK_WHOLE};
    fili_disk_list       list     = {.n = 0};
    fili_disk_add(&list, &state);
    fili_disk_add(&list, &topology);
    return fili_disks_take(c->ctx, NULL, &list);
}

static fil_status fill_plan(fili_calibration *c)
{
    fil_calibrate_plan       *p = &c->plan;
    const fili_topology_info *i = &c->info;
    size_t                    bytes[PIECES];
    list_pieces(c, bytes);
    p->layers        = i->layers;
    p->steps         = i->steps;
    p->passes        = p->run.passes;
    p->heads         = i->heads;
    p->groups        = i->groups;
    p->map_passes    = i->passes;
    p->levels        = i->n_levels;
    p->block         = i->block;
    p->blocks        = i->m;
    p->tokens        = c->order.n;
    p->file_bytes    = fili_topology_file_bytes(i);
    p->state_bytes   = bytes[c->is_mean ? PIECE_SUM : PIECE_MAP];
    p->measure_bytes = all_pieces(bytes);
    p->peak_bytes    = plus(p->run.peak_bytes, plus(p->measure_bytes, c->held_bytes + ROUNDING));
    FIL_TRY(fili_check_budget(c->ctx, "calibrating", p->peak_bytes));
    FIL_TRY(fili_state_look(c, &p->done));
    FIL_TRY(check_disk(c));
    const double left = p->prompts - p->done;
    p->flops          = p->run.flops * (left + 1.0) + mass_flops(c) * left;
    return FIL_OK;
}

/* ---- settings ------------------------------------------------------------------------------- */

static fil_status set(fili_calibration *c, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static fil_status set(fili_calibration *c, const char *name, const char *format, ...)
{
    char    text[FILI_TOPOLOGY_NAME];
    char   *copy;
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    FIL_TRY(fili_arena_text(&c->arena, text, strlen(text), &copy));
    c->setting[c->n_settings++] = (fili_setting){.name = name, .value = copy};
    return FIL_OK;
}

static void hash_prompts(fili_calibration *c)
{
    fili_sha256 h;
    fili_sha256_begin(&h);
    for (int32_t i = 0; i < c->plan.prompts; i++)
        fili_sha256_add(&h, c->prompt[i], strlen(c->prompt[i]) + 1);
    fili_sha256_add(&h, c->run.negative, strlen(c->run.negative) + 1);
    fili_sha256_end(&h, c->info.prompts_hash);
}

static void hash_sigmas(const fili_calibration *c, char hex[FILI_SHA256_HEX])
{
    fili_sha256 h;
    fili_sha256_begin(&h);
    fili_sha256_add(&h, c->sigmas, ((size_t)c->info.steps + 1) * sizeof *c->sigmas);
    fili_sha256_end(&h, hex);
}

static fil_status list_settings(fili_calibration *c)
{
    const fili_topology_info *i = &c->info;
    char                      sigmas[FILI_SHA256_HEX];
    hash_prompts(c);
    hash_sigmas(c, sigmas);
    FIL_TRY(set(c, "model_hash", "%s", i->model_hash));
    FIL_TRY(set(c, "prompts_hash", "%s", i->prompts_hash));
    FIL_TRY(set(c, "grid", "%d,%d,%d", (int)i->grid.f, (int)i->grid.h, (int)i->grid.w));
    FIL_TRY(set(c, "order", "%s", i->order));
    FIL_TRY(set(c, "block_size", "%d", (int)i->block));
    FIL_TRY(set(c, "map", "%s", i->map));
    FIL_TRY(set(c, "levels", "%d", (int)i->n_levels));
    FIL_TRY(set(c, "passes", "%d", (int)i->passes));
    FIL_TRY(set(c, "steps", "%d", (int)i->steps));
    FIL_TRY(set(c, "step_groups", "%d", (int)i->groups));
    FIL_TRY(set(c, "sampler", "%s", i->sampler));
    FIL_TRY(set(c, "sigma_grid", "%s", i->sigma_grid));
    FIL_TRY(set(c, "shift", "%g", i->shift));
    FIL_TRY(set(c, "sigmas", "%s", sigmas));
    FIL_TRY(set(c, "cfg", "%g", c->plan.run.guidance));
    FIL_TRY(set(c, "precision", "%s", fil_dtype_name(c->dtype)));
    return set(c, "seed", "%llu", (unsigned long long)c->run.seed);
}

/* ---- all of it ------------------------------------------------------------------------------ */

fil_status fili_calibration_check(fili_calibration *c, const fil_calibrate_options *options)
{
    fili_arena_init(&c->arena, c->ctx, "a calibration", 0);
    fili_arena_init(&c->memory, c->ctx, "maps and masses", 0);
    c->order      = (fili_order){.ctx = c->ctx};
    c->blocks     = (fili_blocks){.ctx = c->ctx};
    c->map_blocks = (fili_blocks){.ctx = c->ctx};
    FIL_TRY(take_options(c, options));
    FIL_TRY(take_paths(c));
    FIL_TRY(look_at_jobs(c));
    FIL_TRY(make_blocks(c));
    FIL_TRY(make_groups(c));
    FIL_TRY(choose_kernel(c));
    FIL_TRY(list_settings(c));
    return fill_plan(c);
}

void fili_calibration_fini(fili_calibration *c)
{
    fili_arena_fini(&c->memory);
    fili_blocks_fini(&c->map_blocks);
    fili_blocks_fini(&c->blocks);
    fili_order_fini(&c->order);
    fili_arena_fini(&c->arena);
}
