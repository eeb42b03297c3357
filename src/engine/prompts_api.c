/* engine/prompts_api.c: fil_prompts: a file of prompts (filigree/video.h). */
#include "base/arena.h"
#include "base/mem.h"
#include "engine/calibration.h"

struct fil_prompts {
    fil_ctx     *ctx;
    fili_arena   arena;
    const char **text;
    int32_t      n;
};

fil_status fil_prompts_open(fil_ctx *ctx, const char *path, fil_prompts **out)
{
    void *block;
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_prompts_open: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && out != NULL, "fil_prompts_open: %s is NULL",
              path == NULL ? "path" : "out");
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_prompts), "prompts", &block));
    fil_prompts *p = block;
    p->ctx         = ctx;
    fili_arena_init(&p->arena, ctx, "prompts", 0);
    const fil_status status = fili_prompts_read(&p->arena, path, &p->text, &p->n);
    if (status != FIL_OK)
        fil_prompts_close(&p);
    else
        *out = p;
    return status;
}

void fil_prompts_close(fil_prompts **prompts)
{
    if (prompts == NULL || *prompts == NULL) return;
    fil_ctx *ctx = (*prompts)->ctx;
    fili_arena_fini(&(*prompts)->arena);
    fili_free(ctx, *prompts, sizeof **prompts);
    *prompts = NULL;
}

int32_t fil_prompts_count(const fil_prompts *prompts)
{
    return prompts != NULL ? prompts->n : 0;
}

const char *fil_prompts_text(const fil_prompts *prompts, int32_t index)
{
    return prompts != NULL && index >= 0 && index < prompts->n ? prompts->text[index] : NULL;
}
