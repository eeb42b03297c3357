/* sparse/topology_write.c: writing a topology (sparse/topology.h). Reading: topology_file.c. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "io/safetensors_writer.h"
#include "sparse/topology.h"

enum { SLOT_LEVELS, SLOT_GROUP, SLOT_DENSITY, SLOT_FIDELITY, SLOT_BUDGET, SLOT_ERROR, SLOTS };
enum { NAME = 24, PAIRS = 14, NUMBER = 32 };

typedef struct sheet {
    fil_ctx                  *ctx;
    const fili_topology_info *info;
    const fili_topology_data *data;
    fili_arena                arena;
    fil_tensor_desc          *tensors; /* the SLOTS first, then a map per layer */
    size_t                    n_tensors, n_slots;
    fil_pair                  pairs[PAIRS];
    size_t                    n_pairs;
} sheet;

/* ---- metadata ------------------------------------------------------------------------------- */

static void add_text(sheet *s, const char *key, const char *value)
{
    s->pairs[s->n_pairs++] = (fil_pair){.key = key, .value = value};
}

/* printf's decimal point is the locale's; the file's is a point. */
static size_t print_real(char text[NUMBER], int digits, double value)
{
    const int n = snprintf(text, NUMBER, "%.*g", digits, value);
    for (char *c = text; *c != '\0'; c++)
        if (strchr("0123456789+-e", *c) == NULL) *c = '.';
    return (size_t)n;
}

static fil_status add_number(sheet *s, const char *key, double value)
{
    char         number[NUMBER];
    char        *text;
    const size_t bytes = print_real(number, 15, value);
    FIL_TRY(fili_arena_text(&s->arena, number, bytes, &text));
    add_text(s, key, text);
    return FIL_OK;
}

static fil_status add_grid(sheet *s)
{
    const fili_grid g = s->info->grid;
    char            grid[48];
    char           *text;
    snprintf(grid, sizeof grid, "%d,%d,%d", (int)g.f, (int)g.h, (int)g.w);
    FIL_TRY(fili_arena_text(&s->arena, grid, strlen(grid), &text));
    add_text(s, "grid", text);
    return FIL_OK;
}

static fil_status add_sigmas(sheet *s)
{
    const size_t bytes = ((size_t)s->info->steps + 2) * NUMBER;
    size_t       at    = 0;
    void        *block;
    FIL_TRY(fili_arena_alloc(&s->arena, bytes, &block));
    char *text = block;
    for (int32_t i = 0; i <= s->info->steps; i++) {
        if (i > 0) text[at++] = ',';
        at += print_real(text + at, 9, (double)s->data->sigmas[i]);
    }
    add_text(s, "sigmas", text);
    return FIL_OK;
}

static fil_status fill_metadata(sheet *s)
{
    const fili_topology_info *i = s->info;
    add_text(s, "format", FILI_TOPOLOGY_FORMAT);
    FIL_TRY(add_grid(s));
    add_text(s, "order", i->order);
    FIL_TRY(add_number(s, "block_size", i->block));
    add_text(s, "map", i->map);
    add_text(s, "fidelity", i->fidelity);
    add_text(s, "model_hash", i->model_hash);
    add_text(s, "prompts_hash", i->prompts_hash);
    add_text(s, "sampler", i->sampler);
    add_text(s, "sigma_grid", i->sigma_grid);
    FIL_TRY(add_sigmas(s));
    FIL_TRY(add_number(s, "steps", i->steps));
    return add_number(s, "shift", i->shift);
}

/* ---- tensors -------------------------------------------------------------------------------- */

static void fill_slots(sheet *s)
{
    const fili_topology_info *i            = s->info;
    const fil_tensor_desc     slots[SLOTS] = {
            [SLOT_LEVELS] = {.name = "levels", .dtype = FIL_F32, .rank = 1, .shape = {i->n_levels}},
            [SLOT_GROUP] = {.name = "step_group", .dtype = FIL_I32, .rank = 1, .shape = {i->steps}},
            [SLOT_DENSITY]  = {.name  = "profile.density",
                               .dtype = FIL_F32,
                               .rank  = 5,
                               .shape = {i->layers, i->steps, i->passes, i->heads, i->n_levels}},
            [SLOT_FIDELITY] = {.name  = "profile.fidelity",
                               .dtype = FIL_F32,
                               .rank  = 5,
                               .shape = {i->layers, i->steps, i->passes, i->heads, i->n_levels}},
            [SLOT_BUDGET]   = {.name  = "budget",
                               .dtype = FIL_U8,
                               .rank  = 4,
                               .shape = {i->layers, i->steps, i->passes, i->heads}},
            [SLOT_ERROR]    = {.name  = "profile.error",
                               .dtype = FIL_F32,
                               .rank  = 5,
                               .shape = {i->layers, i->steps, i->passes, i->heads, i->n_levels}}};
    s->n_slots = s->data->error != NULL ? SLOTS : SLOT_ERROR;
    memcpy(s->tensors, slots, s->n_slots * sizeof slots[0]);
}

static fil_status fill_tensors(sheet *s)
{
    const fili_topology_info *i = s->info;
    void                     *block;
    FIL_TRY(fili_arena_calloc(&s->arena, (size_t)i->layers + SLOTS, sizeof *s->tensors, &block));
    s->tensors = block;
    fill_slots(s);
    s->n_tensors = s->n_slots + (size_t)i->layers;
    for (int32_t l = 0; l < i->layers; l++) {
        char  name[NAME];
        char *text;
        snprintf(name, sizeof name, "tmap.%03d", (int)l);
        FIL_TRY(fili_arena_text(&s->arena, name, strlen(name), &text));
        s->tensors[s->n_slots + (size_t)l] =
            (fil_tensor_desc){.name  = text,
                              .dtype = FIL_U8,
                              .rank  = 5,
                              .shape = {i->groups, i->passes, i->heads, i->m, i->m}};
    }
    return FIL_OK;
}

static fil_status put_all(const sheet *s, fili_writer *w)
{
    const fili_topology_info *i       = s->info;
    const fili_topology_data *d       = s->data;
    const uint64_t            profile = fili_topology_profile_bytes(i);
    const uint64_t            layer   = fili_topology_layer_bytes(i);
    const uint64_t            maps    = profile / (uint64_t)i->n_levels / sizeof(float);
    FIL_TRY(fili_writer_put(w, SLOT_LEVELS, d->levels, (uint64_t)i->n_levels * sizeof(float)));
    FIL_TRY(fili_writer_put(w, SLOT_GROUP, d->step_group, (uint64_t)i->steps * sizeof(int32_t)));
    FIL_TRY(fili_writer_put(w, SLOT_DENSITY, d->density, profile));
    FIL_TRY(fili_writer_put(w, SLOT_FIDELITY, d->fidelity, profile));
    FIL_TRY(fili_writer_put(w, SLOT_BUDGET, d->budget, maps));
    if (d->error != NULL) FIL_TRY(fili_writer_put(w, SLOT_ERROR, d->error, profile));
    for (int32_t l = 0; l < i->layers; l++)
        FIL_TRY(fili_writer_put(w, s->n_slots + (size_t)l, d->map + (uint64_t)l * layer, layer));
    return FIL_OK;
}

static fil_status write(sheet *s, const char *path, int replace)
{
    fili_writer w;
    fil_status  status;
    FIL_TRY(fill_metadata(s));
    FIL_TRY(fill_tensors(s));
    const fili_writer_input input = {.tensors   = s->tensors,
                                     .n_tensors = s->n_tensors,
                                     .metadata  = s->pairs,
                                     .n_pairs   = s->n_pairs};
    FIL_TRY(fili_writer_open(&w, s->ctx, path, &input, replace));
    FIL_TRY_OR(fail, put_all(s, &w));
    return fili_writer_finish(&w);
fail:
    fili_writer_close(&w);
    return status;
}

fil_status fili_topology_write(fil_ctx *ctx, const char *path, const fili_topology_info *info,
                               const fili_topology_data *data, int replace)
{
    sheet s = {.ctx = ctx, .info = info, .data = data};
    FIL_CHECK(ctx,
              info->layers >= 1 && info->layers <= FILI_TOPOLOGY_LAYERS && info->steps >= 1 &&
                  info->steps <= FILI_TOPOLOGY_STEPS,
              "topology of %d layers and %d steps; expected 1 to %d and 1 to %d", (int)info->layers,
              (int)info->steps, FILI_TOPOLOGY_LAYERS, FILI_TOPOLOGY_STEPS);
    FIL_TRY(fili_levels_check(ctx, data->levels, info->n_levels));
    fili_arena_init(&s.arena, ctx, "topology", 0);
    const fil_status status = write(&s, path, replace);
    fili_arena_fini(&s.arena);
    return status;
}
