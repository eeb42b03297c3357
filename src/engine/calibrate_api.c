/* engine/calibrate_api.c: fil_calibrate and fil_calibrate_check (filigree/calibrate.h). */
#include <string.h>

#include "base/mem.h"
#include "engine/calibration.h"

static fil_status open_it(fil_model *model, const fil_calibrate_options *options,
                          fili_calibration **out)
{
    void *block;
    FIL_TRY(fili_calloc(model->ctx, 1, sizeof **out, "a calibration", &block));
    *out          = block;
    (*out)->ctx   = model->ctx;
    (*out)->model = model;
    return fili_calibration_check(*out, options);
}

static void close_it(fili_calibration **c)
{
    if (*c == NULL) return;
    fil_ctx *ctx = (*c)->ctx;
    fili_calibration_fini(*c);
    fili_free(ctx, *c, sizeof **c);
    *c = NULL;
}

static fil_status run(fili_calibration *c, fil_calibrate_result *result)
{
    FIL_TRY(fili_calibration_memory(c));
    FIL_TRY(fili_state_load(c));
    result->prompts    = c->plan.prompts;
    result->resumed    = c->done;
    result->file_bytes = c->plan.file_bytes;
    FIL_TRY(fili_calibration_prompts(c));
    FIL_TRY(fili_calibration_profile(c, result));
    fili_state_remove(c);
    return FIL_OK;
}

fil_status fil_calibrate(fil_model *model, const fil_calibrate_options *options,
                         fil_calibrate_result *result)
{
    fil_calibrate_result mine = {.prompts = 0};
    fili_calibration    *c    = NULL;
    FIL_CHECK(NULL, model != NULL, "fil_calibrate: model is NULL");
    fili_ctx_enter(model->ctx);
    FIL_CHECK(model->ctx, options != NULL, "fil_calibrate: options is NULL");
    const double begun  = fili_seconds(model->ctx);
    fil_status   status = open_it(model, options, &c);
    if (status == FIL_OK) status = run(c, &mine);
    close_it(&c);
    mine.seconds    = fili_seconds(model->ctx) - begun;
    mine.peak_bytes = model->ctx->memory.peak;
    if (result != NULL) *result = mine;
    return status;
}

fil_status fil_calibrate_check(fil_model *model, const fil_calibrate_options *options,
                               fil_calibrate_plan *plan)
{
    fili_calibration *c = NULL;
    FIL_CHECK(NULL, model != NULL, "fil_calibrate_check: model is NULL");
    fili_ctx_enter(model->ctx);
    FIL_CHECK(model->ctx, options != NULL && plan != NULL, "fil_calibrate_check: %s is NULL",
              options == NULL ? "options" : "plan");
    const fil_status status = open_it(model, options, &c);
    if (status == FIL_OK) *plan = c->plan;
    close_it(&c);
    return status;
}
