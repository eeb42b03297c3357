/* engine/model_api.c: fil_model_*: where the parts of a model lie (filigree/video.h). Finding them
 * is wan/model_paths.h's; nothing is opened here.
 */
#include <string.h>

#include "base/device.h"
#include "base/mem.h"
#include "engine/video_job.h"

void fil_model_options_init(fil_model_options *options)
{
    *options = (fil_model_options){.struct_size = (uint32_t)sizeof *options};
}

/* What the user said, for the recipe of a run. */
static fil_status keep_given(fil_model *model, const fil_model_options *o)
{
    const char **const text[] = {&model->given.dir, &model->given.dit, &model->given.t5,
                                 &model->given.vae, &model->given.tokenizer};
    model->given              = *o;
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        char *copy;
        if (*text[i] == NULL) continue;
        FIL_TRY(fili_arena_text(&model->paths.arena, *text[i], strlen(*text[i]), &copy));
        *text[i] = copy;
    }
    return FIL_OK;
}

static fil_status model_open(fil_ctx *ctx, const fil_model_options *options, fil_model **out)
{
    fil_model_options o;
    void             *block;
    fil_model_options_init(&o);
    FIL_TRY(fili_take_options(ctx, "fil_model_options", &o, sizeof o, options));
    FIL_CHECK(ctx, (o.flags & ~FIL_OPEN_TRUSTED) == 0, "fil_model_open: unknown flags 0x%x",
              o.flags);
    const fili_model_choice choice = {
        .dir = o.dir, .dit = o.dit, .t5 = o.t5, .vae = o.vae, .tokenizer = o.tokenizer};
    FIL_CHECK(ctx, o.dir != NULL || o.dit != NULL || o.t5 != NULL || o.vae != NULL,
              "fil_model_open: expected a model folder or its parts by name");
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_model), "model handle", &block));
    fil_model *model  = block;
    model->ctx        = ctx;
    model->flags      = o.flags;
    fil_status status = fili_model_paths_open(&model->paths, ctx, &choice, o.flags);
    if (status != FIL_OK) {
        fili_free(ctx, model, sizeof *model);
        return status;
    }
    status = keep_given(model, &o);
    if (status != FIL_OK) fil_model_close(&model);
    *out = model;
    return status;
}

fil_status fil_model_open(fil_ctx *ctx, const fil_model_options *options, fil_model **out)
{
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_model_open: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, options != NULL && out != NULL, "fil_model_open: %s is NULL",
              options == NULL ? "options" : "out");
    return model_open(ctx, options, out);
}

void fil_model_close(fil_model **model)
{
    if (model == NULL || *model == NULL) return;
    fili_model_paths_close(&(*model)->paths);
    fili_free((*model)->ctx, *model, sizeof **model);
    *model = NULL;
}

const char *fil_model_layout(const fil_model *model)
{
    return model != NULL ? model->paths.layout : "";
}

/* ---- shared by the three runs --------------------------------------------------------------- */

fil_status fili_take_options(fil_ctx *ctx, const char *what, void *mine, size_t size,
                             const void *theirs)
{
    uint32_t given;
    memcpy(&given, theirs, sizeof given);
    FIL_CHECK(ctx, given >= sizeof given && given <= size,
              "%s.struct_size is %u; %s_init sets it to %zu", what, given, what, size);
    memcpy(mine, theirs, given);
    return FIL_OK;
}

uint64_t fili_memory_room(const fil_ctx *ctx, uint64_t used)
{
    const uint64_t limit = ctx->memory.limit;
    if (limit == 0) return UINT64_MAX;
    return limit > used ? limit - used : 0;
}

fil_status fili_check_budget(fil_ctx *ctx, const char *what, uint64_t bytes)
{
    const fil_memory *m = &ctx->memory;
    if (m->limit == 0 || (bytes <= m->limit && m->used <= m->limit - bytes)) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_NOMEM,
                    "%s needs %llu bytes; the limit is %llu, of which %llu are in "
                    "use",
                    what, (unsigned long long)bytes, (unsigned long long)m->limit,
                    (unsigned long long)m->used);
}

fil_status fili_check_device(fil_ctx *ctx, const char *what, uint64_t bytes)
{
    const fil_memory *m = &ctx->device_memory;
    if (bytes <= fili_device_room(ctx) + m->used) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_NOMEM_DEV,
                    "%s needs %llu bytes of the device's memory, with what copies and libraries "
                    "take; the limit is %llu",
                    what, (unsigned long long)fili_device_limit_for(bytes),
                    (unsigned long long)m->limit);
}

double fili_seconds(fil_ctx *ctx)
{
    return (double)ctx->os->clock_ns(ctx->os->self) * 1e-9;
}
