/* sparse/topology_file.c: reading a topology (sparse/topology.h). Writing: topology_write.c.
 * The file is untrusted: every shape is checked against the others, and the values when they are
 * read.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sparse/topology.h"

/* ---- parts ---------------------------------------------------------------------------------- */

static fil_status in_file(fil_ctx *ctx, fil_status status, const char *what)
{
    if (status == FIL_E_ARG) status = ctx->error.status = FIL_E_FORMAT;
    if (status != FIL_OK) fili_error_frame(ctx, "topology, %s", what);
    return status;
}

/* The tensor `name` of that type and shape; -1 in `shape` takes 1 to 2^31 - 1. */
static fil_status find(const fili_topology *t, const char *name, fil_dtype dtype, uint32_t rank,
                       const int64_t *shape, const fili_entry **out)
{
    const fili_entry *e = fili_tensors_find(&t->set, name);
    *out                = e;
    if (e == NULL) return FIL_FAIL(t->ctx, FIL_E_FORMAT, "topology: tensor '%s' is missing", name);
    if (e->dtype != dtype || e->rank != rank)
        return FIL_FAIL(t->ctx, FIL_E_FORMAT,
                        "topology: '%s' is %s with %u dimensions; expected %s with %u", name,
                        fil_dtype_name(e->dtype), e->rank, fil_dtype_name(dtype), rank);
    for (uint32_t i = 0; i < rank; i++) {
        if (e->shape[i] < 1 || e->shape[i] > INT32_MAX)
            return FIL_FAIL(t->ctx, FIL_E_FORMAT,
                            "topology: dimension %u of '%s' is %lld; expected 1 to %d", i, name,
                            (long long)e->shape[i], INT32_MAX);
        if (shape[i] >= 0 && e->shape[i] != shape[i])
            return FIL_FAIL(t->ctx, FIL_E_MISMATCH,
                            "topology: dimension %u of '%s' is %lld; expected %lld", i, name,
                            (long long)e->shape[i], (long long)shape[i]);
    }
    return FIL_OK;
}

static fil_status read_all(const fili_topology *t, const fili_entry *e, void *out)
{
    return fili_tensors_read(&t->set, e, 0, out, e->bytes);
}

/* ---- metadata ------------------------------------------------------------------------------- */

static fil_status text_of(const fili_topology *t, const char *key, const char **value)
{
    *value = fili_tensors_metadata(&t->set, key);
    if (*value != NULL && fili_is_printable(*value, strlen(*value))) return FIL_OK;
    return FIL_FAIL(t->ctx, FIL_E_FORMAT, "topology: metadata '%s' is %s", key,
                    *value == NULL ? "missing" : "not printable");
}

static fil_status copy_text(const fili_topology *t, const char *key, char *out, size_t bytes)
{
    const char *value;
    FIL_TRY(text_of(t, key, &value));
    if (strlen(value) >= bytes)
        return FIL_FAIL(t->ctx, FIL_E_FORMAT,
                        "topology: metadata '%s' has %llu bytes; expected fewer than %llu", key,
                        (unsigned long long)strlen(value), (unsigned long long)bytes);
    memcpy(out, value, strlen(value) + 1);
    return FIL_OK;
}

static double read_digits(const char **text, double value, double *unit, int *n)
{
    for (; **text >= '0' && **text <= '9'; ++*text, ++*n) {
        value = value * 10.0 + (double)(**text - '0');
        *unit *= 10.0;
    }
    return value;
}

static int read_exponent(const char **text)
{
    double    unit = 1.0;
    int       n    = 0;
    const int sign = **text == '-' ? -1 : 1;
    if (**text == '-' || **text == '+') ++*text;
    const double value = read_digits(text, 0.0, &unit, &n);
    return n == 0 || value > 300.0 ? 1000 : sign * (int)value;
}

/* A decimal number, not negative; *text then stands behind it. Not strtod: its decimal point is the
 * locale's. Exact for whole numbers, and to a few ulps else. */
static bool read_real(const char **text, double *out)
{
    double unit     = 1.0;
    int    n        = 0;
    int    exponent = 0;
    *out            = read_digits(text, 0.0, &unit, &n);
    unit            = 1.0;
    if (**text == '.') {
        ++*text;
        *out = read_digits(text, *out, &unit, &n);
    }
    if (n > 0 && (**text == 'e' || **text == 'E')) {
        ++*text;
        exponent = read_exponent(text);
    }
    *out = *out / unit * pow(10.0, exponent);
    return n > 0 && exponent < 1000 && isfinite(*out);
}

static fil_status real_of(const fili_topology *t, const char *key, double least, double most,
                          double *out)
{
    const char *text;
    FIL_TRY(text_of(t, key, &text));
    const char *at = text;
    if (!read_real(&at, out) || *at != '\0' || !(*out >= least) || !(*out <= most))
        return FIL_FAIL(t->ctx, FIL_E_FORMAT,
                        "topology: metadata '%s' is '%s'; expected a number from %g to %g", key,
                        fili_quote(text, strlen(text)).text, least, most);
    return FIL_OK;
}

static fil_status read_sigmas(fili_topology *t)
{
    const char *at;
    FIL_TRY(text_of(t, "sigmas", &at));
    for (int32_t s = 0; s <= t->info.steps; s++) {
        double sigma;
        if (!read_real(&at, &sigma) || *at != (s < t->info.steps ? ',' : '\0'))
            return FIL_FAIL(t->ctx, FIL_E_FORMAT,
                            "topology: metadata 'sigmas' is no list of %d numbers",
                            (int)t->info.steps + 1);
        t->sigmas[s] = (float)sigma;
        at++;
    }
    return FIL_OK;
}

static fil_status check_format(const fili_topology *t)
{
    static const char family[] = "filigree.topology.";
    const char       *format;
    FIL_TRY(text_of(t, "format", &format));
    if (strcmp(format, FILI_TOPOLOGY_FORMAT) == 0) return FIL_OK;
    const bool other = strncmp(format, family, sizeof family - 1) == 0;
    return FIL_FAIL(t->ctx, other ? FIL_E_MISMATCH : FIL_E_FORMAT,
                    "topology: the format is '%s'; expected '%s'%s",
                    fili_quote(format, strlen(format)).text, FILI_TOPOLOGY_FORMAT,
                    other ? ": it is of another version" : "");
}

static fil_status check_choice(const fili_topology *t, const char *key, const char *have,
                               const char *a, const char *b)
{
    if (strcmp(have, a) == 0 || strcmp(have, b) == 0) return FIL_OK;
    return FIL_FAIL(t->ctx, FIL_E_FORMAT, "topology: metadata '%s' is '%s'; expected %s or %s", key,
                    fili_quote(have, strlen(have)).text, a, b);
}

static fil_status read_metadata(fili_topology *t)
{
    fili_topology_info *i = &t->info;
    const char         *grid;
    double              number;
    FIL_TRY(check_format(t));
    FIL_TRY(text_of(t, "grid", &grid));
    FIL_TRY(in_file(t->ctx, fili_grid_parse(t->ctx, grid, &i->grid), "metadata grid"));
    FIL_TRY(copy_text(t, "order", i->order, sizeof i->order));
    FIL_TRY(copy_text(t, "map", i->map, sizeof i->map));
    FIL_TRY(copy_text(t, "fidelity", i->fidelity, sizeof i->fidelity));
    FIL_TRY(copy_text(t, "model_hash", i->model_hash, sizeof i->model_hash));
    FIL_TRY(copy_text(t, "prompts_hash", i->prompts_hash, sizeof i->prompts_hash));
    FIL_TRY(copy_text(t, "sampler", i->sampler, sizeof i->sampler));
    FIL_TRY(copy_text(t, "sigma_grid", i->sigma_grid, sizeof i->sigma_grid));
    FIL_TRY(check_choice(t, "map", i->map, "union", "mean"));
    FIL_TRY(check_choice(t, "fidelity", i->fidelity, "renorm", "raw"));
    FIL_TRY(real_of(t, "shift", 1e-6, 100.0, &i->shift));
    FIL_TRY(real_of(t, "block_size", 64.0, 128.0, &number));
    i->block = (int32_t)number;
    if (i->block != 64 && i->block != 128)
        return FIL_FAIL(t->ctx, FIL_E_FORMAT, "topology: blocks of %d tokens; expected 64 or 128",
                        (int)i->block);
    FIL_TRY(real_of(t, "steps", 1.0, FILI_TOPOLOGY_STEPS, &number));
    i->steps = (int32_t)number;
    return read_sigmas(t);
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* M of the first map. The order is made anew to check it, so that a grid of more tokens than its
 * blocks can hold is refused before: what that costs is bounded by the size of the file. */
static fil_status look_at_blocks(const fili_topology *t, int32_t *m)
{
    const fili_topology_info *i       = &t->info;
    const int64_t             shape[] = {-1, i->passes, i->heads, -1, -1};
    const fili_entry         *e;
    int32_t                   n;
    FIL_TRY(in_file(t->ctx, fili_grid_tokens(t->ctx, i->grid, &n), "metadata grid"));
    FIL_TRY(find(t, "tmap.000", FIL_U8, 5, shape, &e));
    *m = (int32_t)e->shape[3];
    if (e->shape[3] == e->shape[4] && n <= (int64_t)*m * i->block) return FIL_OK;
    return FIL_FAIL(t->ctx, FIL_E_MISMATCH,
                    "topology: 'tmap.000' has %lld x %lld blocks of %d tokens; the grid %d,%d,%d "
                    "has %d tokens",
                    (long long)e->shape[3], (long long)e->shape[4], (int)i->block, (int)i->grid.f,
                    (int)i->grid.h, (int)i->grid.w, (int)n);
}

/* Blocks that the order has on the grid: what M must be. */
static fil_status count_blocks(const fili_topology *t, int32_t *m)
{
    fili_order_spec spec;
    fili_order      order;
    fili_blocks     blocks;
    FIL_TRY(look_at_blocks(t, m));
    FIL_TRY(in_file(t->ctx, fili_order_parse(t->ctx, t->info.order, &spec), "metadata order"));
    FIL_TRY(in_file(t->ctx, fili_order_init(&order, t->ctx, t->info.grid, &spec), "metadata grid"));
    const fil_status status = fili_topology_blocks(&blocks, &order, t->info.block);
    *m                      = blocks.m;
    fili_blocks_fini(&blocks);
    fili_order_fini(&order);
    return in_file(t->ctx, status, "metadata block_size");
}

static fil_status read_levels(fili_topology *t)
{
    const fili_entry *e;
    FIL_TRY(find(t, "levels", FIL_F32, 1, (const int64_t[]){-1}, &e));
    if (e->shape[0] > FILI_LEVELS_MOST)
        return FIL_FAIL(t->ctx, FIL_E_FORMAT, "topology: %lld levels; expected at most %d",
                        (long long)e->shape[0], FILI_LEVELS_MOST);
    t->info.n_levels = (int32_t)e->shape[0];
    FIL_TRY(read_all(t, e, t->levels));
    return in_file(t->ctx, fili_levels_check(t->ctx, t->levels, t->info.n_levels), "tensor levels");
}

static fil_status read_budget_shape(fili_topology *t)
{
    const int64_t any[] = {-1, t->info.steps, -1, -1};
    FIL_TRY(find(t, "budget", FIL_U8, 4, any, &t->budget));
    t->info.layers = (int32_t)t->budget->shape[0];
    t->info.passes = (int32_t)t->budget->shape[2];
    t->info.heads  = (int32_t)t->budget->shape[3];
    if (t->budget->shape[0] <= FILI_TOPOLOGY_LAYERS && t->info.passes <= 2) return FIL_OK;
    return FIL_FAIL(t->ctx, FIL_E_FORMAT,
                    "topology: %d layers and %d passes; expected at most %d and 2",
                    (int)t->info.layers, (int)t->info.passes, FILI_TOPOLOGY_LAYERS);
}

static fil_status find_maps(fili_topology *t)
{
    fili_topology_info *i = &t->info;
    int32_t             m;
    FIL_TRY(count_blocks(t, &m));
    i->m      = m;
    i->groups = -1;
    for (int32_t l = 0; l < i->layers; l++) {
        const int64_t shape[] = {i->groups, i->passes, i->heads, i->m, i->m};
        char          name[24];
        snprintf(name, sizeof name, "tmap.%03d", (int)l);
        FIL_TRY(find(t, name, FIL_U8, 5, shape, &t->tmap[l]));
        i->groups = (int32_t)t->tmap[l]->shape[0];
    }
    return FIL_OK;
}

static fil_status read_groups(fili_topology *t)
{
    const fili_entry *e;
    FIL_TRY(find(t, "step_group", FIL_I32, 1, (const int64_t[]){t->info.steps}, &e));
    FIL_TRY(read_all(t, e, t->step_group));
    for (int32_t s = 0; s < t->info.steps; s++)
        if (t->step_group[s] < 0 || t->step_group[s] >= t->info.groups)
            return FIL_FAIL(t->ctx, FIL_E_FORMAT,
                            "topology: step %d is of group %d; expected 0 to %d", (int)s,
                            (int)t->step_group[s], (int)t->info.groups - 1);
    return FIL_OK;
}

static fil_status find_profiles(fili_topology *t)
{
    const fili_topology_info *i       = &t->info;
    const int64_t             shape[] = {i->layers, i->steps, i->passes, i->heads, i->n_levels};
    FIL_TRY(find(t, "profile.density", FIL_F32, 5, shape, &t->density));
    FIL_TRY(find(t, "profile.fidelity", FIL_F32, 5, shape, &t->fidelity));
    if (fili_tensors_find(&t->set, "profile.error") == NULL) return FIL_OK;
    return find(t, "profile.error", FIL_F32, 5, shape, &t->error);
}

/* ---- the file ------------------------------------------------------------------------------- */

static fil_status read_parts(fili_topology *t, const char *path)
{
    FIL_TRY(fili_tensors_open(&t->set, path));
    FIL_TRY(read_metadata(t));
    FIL_TRY(read_levels(t));
    FIL_TRY(read_budget_shape(t));
    FIL_TRY(find_maps(t));
    FIL_TRY(read_groups(t));
    return find_profiles(t);
}

fil_status fili_topology_open(fili_topology *out, fil_ctx *ctx, const char *path)
{
    memset(out, 0, sizeof *out);
    out->ctx = ctx;
    fili_tensors_init(&out->set, ctx, 0);
    const fil_status status = read_parts(out, path);
    if (status != FIL_OK) fili_topology_close(out);
    return status;
}

void fili_topology_close(fili_topology *t)
{
    if (t->ctx == NULL) return;
    fili_tensors_fini(&t->set);
    t->ctx = NULL;
}

/* ---- values --------------------------------------------------------------------------------- */

static fil_status check_indices(const fili_topology *t, const uint8_t *level, uint64_t n,
                                const char *what)
{
    uint8_t most = 0;
    for (uint64_t i = 0; i < n; i++)
        most = level[i] > most ? level[i] : most;
    if (most < t->info.n_levels) return FIL_OK;
    return FIL_FAIL(t->ctx, FIL_E_FORMAT, "topology: '%s' has the level %d; expected 0 to %d", what,
                    (int)most, (int)t->info.n_levels - 1);
}

fil_status fili_topology_read_map(const fili_topology *t, int32_t layer, int32_t group,
                                  int32_t pass, uint8_t *map)
{
    const fili_topology_info *i     = &t->info;
    const uint64_t            bytes = fili_topology_map_bytes(i);
    FIL_CHECK(t->ctx,
              layer >= 0 && layer < i->layers && group >= 0 && group < i->groups && pass >= 0 &&
                  pass < i->passes,
              "topology: there is no layer %d, group %d, pass %d", (int)layer, (int)group,
              (int)pass);
    const uint64_t at = ((uint64_t)group * (uint64_t)i->passes + (uint64_t)pass) * bytes;
    FIL_TRY(fili_tensors_read(&t->set, t->tmap[layer], at, map, bytes));
    return check_indices(t, map, bytes, "tmap");
}

fil_status fili_topology_read_profile(const fili_topology *t, const fili_entry *profile,
                                      float *values)
{
    const uint64_t n    = profile->bytes / sizeof *values;
    const float    most = profile == t->error ? INFINITY : 1.0f;
    FIL_TRY(read_all(t, profile, values));
    for (uint64_t i = 0; i < n; i++)
        if (!(values[i] >= 0.0f) || !(values[i] <= most) || isinf(values[i]))
            return FIL_FAIL(t->ctx, FIL_E_FORMAT, "topology: '%s' has the value %g; expected 0 %s",
                            profile->name, (double)values[i],
                            profile == t->error ? "or more" : "to 1");
    return FIL_OK;
}

fil_status fili_topology_read_budget(const fili_topology *t, uint8_t *budget)
{
    FIL_TRY(read_all(t, t->budget, budget));
    return check_indices(t, budget, t->budget->bytes, "budget");
}
