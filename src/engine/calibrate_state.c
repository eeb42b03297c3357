/* engine/calibrate_state.c: what is on disk between two prompts (calibration.h).
 *
 * A safetensors file: `map` u8 or `sum` f32 [L,G,P,H,M,M], `growth` f64 [done, 2]; the metadata has
 * every setting that the maps depend on, so that only the same command goes on from it. It is
 * written anew after each prompt, in one step.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/calibration.h"

#define STATE_FORMAT "filigree.calibration.1"

enum { SLOT_MAPS, SLOT_GROWTH, SLOTS };

_Static_assert(sizeof(fili_growth_row) == 2 * sizeof(double), "a row of `growth`");

static fil_dtype dtype_of(const fili_calibration *c)
{
    return c->is_mean ? FIL_F32 : FIL_U8;
}

static void *maps_of(const fili_calibration *c)
{
    return c->is_mean ? (void *)c->sum : (void *)c->map;
}

static const char *name_of(const fili_calibration *c)
{
    return c->is_mean ? "sum" : "map";
}

static size_t bytes_of(const fili_calibration *c)
{
    return fili_maps(c) * (c->is_mean ? sizeof *c->sum : sizeof *c->map);
}

static fil_status framed(const fili_calibration *c, fil_status status)
{
    if (status != FIL_OK)
        fili_error_frame(c->ctx, "state %s", fili_quote(c->state_path, strlen(c->state_path)).text);
    return status;
}

/* ---- writing -------------------------------------------------------------------------------- */

static fil_status put(const fili_calibration *c, fili_writer *w)
{
    FIL_TRY(fili_writer_put(w, SLOT_MAPS, maps_of(c), bytes_of(c)));
    return fili_writer_put(w, SLOT_GROWTH, c->growth, (uint64_t)c->done * sizeof *c->growth);
}

fil_status fili_state_save(const fili_calibration *c)
{
    const fili_topology_info *i              = &c->info;
    const fil_tensor_desc     tensors[SLOTS] = {
            [SLOT_MAPS]   = {.name  = name_of(c),
                             .dtype = dtype_of(c),
                             .rank  = 6,
                             .shape = {i->layers, i->groups, i->passes, i->heads, i->m, i->m}},
            [SLOT_GROWTH] = {.name = "growth", .dtype = FIL_F64, .rank = 2, .shape = {c->done, 2}}};
    fil_pair                pairs[FILI_CALIBRATE_SETTING + 1];
    const fili_writer_input input = {.tensors   = tensors,
                                     .n_tensors = SLOTS,
                                     .metadata  = pairs,
                                     .n_pairs   = (size_t)c->n_settings + 1};
    fili_writer             w;
    pairs[0] = (fil_pair){.key = "format", .value = STATE_FORMAT};
    for (int32_t k = 0; k < c->n_settings; k++)
        pairs[k + 1] = (fil_pair){.key = c->setting[k].name, .value = c->setting[k].value};
    fil_status status = fili_writer_open(&w, c->ctx, c->state_path, &input, 1);
    if (status == FIL_OK) status = put(c, &w);
    if (status == FIL_OK)
        status = fili_writer_finish(&w);
    else
        fili_writer_close(&w);
    return framed(c, status);
}

void fili_state_remove(const fili_calibration *c)
{
    const fili_os *os = c->ctx->os;
    (void)os->unlinkat(os->self, FILI_CWD, c->state_path);
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool exists(const fili_calibration *c)
{
    const fili_os *os = c->ctx->os;
    const int      fd = fili_open_retrying(os, FILI_CWD, c->state_path, FILI_OPEN_PATH);
    if (fd >= 0) (void)os->close(os->self, fd);
    return fd != -ENOENT;
}

/* "" where there is none. */
static const char *text_of(const fili_tensors *set, const char *key)
{
    const char *value = fili_tensors_metadata(set, key);
    return value != NULL ? value : "";
}

static fil_status check_settings(const fili_calibration *c, const fili_tensors *set)
{
    if (strcmp(text_of(set, "format"), STATE_FORMAT) != 0)
        return FIL_FAIL(c->ctx, FIL_E_FORMAT, "it is no state of a calibration");
    for (int32_t k = 0; k < c->n_settings; k++) {
        const fili_setting *s    = &c->setting[k];
        const char         *have = text_of(set, s->name);
        if (strcmp(have, s->value) == 0) continue;
        return FIL_FAIL(c->ctx, FIL_E_MISMATCH,
                        "it was begun by another command: %s was %.40s, is %.40s; remove it to "
                        "begin anew",
                        s->name, fili_quote(have, strlen(have)).text, s->value);
    }
    return FIL_OK;
}

/* Both tensors, as this calibration would have written them. */
static fil_status find(const fili_calibration *c, const fili_tensors *set, const fili_entry **maps,
                       const fili_entry **growth)
{
    *maps   = fili_tensors_find(set, name_of(c));
    *growth = fili_tensors_find(set, "growth");
    const bool is_maps =
        *maps != NULL && (*maps)->dtype == dtype_of(c) && (*maps)->bytes == bytes_of(c);
    const bool is_growth = *growth != NULL && (*growth)->dtype == FIL_F64 && (*growth)->rank == 2 &&
                           (*growth)->shape[1] == 2 && (*growth)->shape[0] >= 1 &&
                           (*growth)->shape[0] <= c->plan.prompts;
    if (is_maps && is_growth) return FIL_OK;
    return FIL_FAIL(c->ctx, FIL_E_FORMAT, "its tensor '%s' is missing or of another shape",
                    is_maps ? "growth" : name_of(c));
}

static fil_status look(const fili_calibration *c, fili_tensors *set, int32_t *done)
{
    const fili_entry *maps;
    const fili_entry *growth;
    FIL_TRY(fili_tensors_open(set, c->state_path));
    FIL_TRY(check_settings(c, set));
    FIL_TRY(find(c, set, &maps, &growth));
    *done = (int32_t)growth->shape[0];
    return FIL_OK;
}

fil_status fili_state_look(const fili_calibration *c, int32_t *done)
{
    fili_tensors set;
    *done = 0;
    if (!exists(c)) return FIL_OK;
    fili_tensors_init(&set, c->ctx, 0);
    const fil_status status = look(c, &set, done);
    fili_tensors_fini(&set);
    return framed(c, status);
}

static fil_status check_map(const fili_calibration *c)
{
    uint8_t      most = 0;
    const size_t n    = c->is_mean ? 0 : fili_maps(c);
    for (size_t i = 0; i < n; i++)
        most = c->map[i] > most ? c->map[i] : most;
    if (most < c->info.n_levels) return FIL_OK;
    return FIL_FAIL(c->ctx, FIL_E_FORMAT, "'map' has the level %d; expected 0 to %d", (int)most,
                    (int)c->info.n_levels - 1);
}

static fil_status load(fili_calibration *c, fili_tensors *set, int32_t *done)
{
    const fili_entry *maps;
    const fili_entry *growth;
    FIL_TRY(look(c, set, done));
    FIL_TRY(find(c, set, &maps, &growth));
    FIL_TRY(fili_tensors_read(set, maps, 0, maps_of(c), maps->bytes));
    FIL_TRY(fili_tensors_read(set, growth, 0, c->growth, growth->bytes));
    return check_map(c);
}

fil_status fili_state_load(fili_calibration *c)
{
    fili_tensors set;
    c->done = 0;
    if (c->plan.done == 0) {
        if (!c->is_mean) fili_maps_begin(c);
        return FIL_OK;
    }
    fili_tensors_init(&set, c->ctx, 0);
    const fil_status status = load(c, &set, &c->done);
    fili_tensors_fini(&set);
    return framed(c, status);
}
