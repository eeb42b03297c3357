/* engine/compare_api.c: fil_compare: what the two files hold, and the figures of all frames
 * together (filigree/compare.h, compare_job.h).
 */
#include <math.h>
#include <string.h>

#include "engine/compare_job.h"

void fil_compare_options_init(fil_compare_options *options)
{
    *options = (fil_compare_options){.struct_size = (uint32_t)sizeof *options};
}

/* ---- figures -------------------------------------------------------------------------------- */

double fili_psnr(double peak, double error, double n)
{
    return error == 0.0 ? (double)INFINITY : 10.0 * log10(peak * peak * n / error);
}

double fili_relative(const fili_squares *s)
{
    if (s->error == 0.0) return 0.0;
    return s->reference == 0.0 ? (double)INFINITY : sqrt(s->error / s->reference);
}

fil_status fili_compare_tell(fili_comparison *c, const fil_compare_frame *frame)
{
    fil_compare_result *r     = &c->r;
    const bool          first = frame->index == 0;
    r->psnr_mean += frame->psnr;
    r->ssim += frame->ssim;
    if (first || frame->psnr < r->psnr_min) r->psnr_min = frame->psnr;
    if (first || frame->ssim < r->ssim_min) r->ssim_min = frame->ssim;
    if (c->o.frame == NULL || c->o.frame(c->o.user, frame) == 0) return FIL_OK;
    return FIL_FAIL(c->ctx, FIL_E_CANCELLED, "the frame callback ended the comparison at frame %d",
                    (int)frame->index);
}

/* ---- what is compared ----------------------------------------------------------------------- */

typedef struct content {
    bool frames, latents;
} content;

static fil_status look_for_tensors(fil_ctx *ctx, const char *path, content *out)
{
    fili_tensors set;
    fili_tensors_init(&set, ctx, 0);
    fil_status status = fili_tensors_open(&set, path);
    if (status == FIL_OK) {
        out->frames  = fili_tensors_find(&set, "frames") != NULL;
        out->latents = fili_tensors_find(&set, "latents") != NULL;
        if (!out->frames && !out->latents)
            status = FIL_FAIL(ctx, FIL_E_MISMATCH,
                              "expected a tensor 'frames' or 'latents', found neither in '%s'",
                              fili_quote(path, strlen(path)).text);
    }
    fili_tensors_fini(&set);
    return status;
}

static fil_status look(const fili_comparison *c, const char *path, content *out)
{
    fili_input_kind kind;
    *out = (content){.frames = true};
    FIL_TRY(fili_input_kind_of(c->ctx, path, &kind));
    if (kind == FILI_INPUT_TENSORS) return look_for_tensors(c->ctx, path, out);
    if (kind == FILI_INPUT_VIDEO && c->o.lossy == 0)
        return FIL_FAIL(c->ctx, FIL_E_MISMATCH,
                        "'%s' is a video file, and what coding did to it would be measured too: "
                        "expected saved frames, or to be told that this is wanted (lossy)",
                        fili_quote(path, strlen(path)).text);
    return FIL_OK;
}

static fil_status compare(fili_comparison *c)
{
    content a;
    content b;
    FIL_TRY(look(c, c->o.a, &a));
    FIL_TRY(look(c, c->o.b, &b));
    if (a.frames && b.frames) return fili_compare_frames(c);
    if (a.latents && b.latents) return fili_compare_latents(c);
    return FIL_FAIL(c->ctx, FIL_E_MISMATCH,
                    "expected two files of one kind, found %s in '%s' and %s in '%s'",
                    a.frames ? "frames" : "latents", fili_quote(c->o.a, strlen(c->o.a)).text,
                    b.frames ? "frames" : "latents", fili_quote(c->o.b, strlen(c->o.b)).text);
}

fil_status fil_compare(fil_ctx *ctx, const fil_compare_options *options, fil_compare_result *result)
{
    fili_comparison c = {.ctx = ctx};
    if (result != NULL) *result = (fil_compare_result){.frames = 0};
    FIL_CHECK(NULL, ctx != NULL, "fil_compare: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, options != NULL && result != NULL, "fil_compare: %s is NULL",
              options == NULL ? "options" : "result");
    fil_compare_options_init(&c.o);
    FIL_TRY(fili_take_options(ctx, "fil_compare_options", &c.o, sizeof c.o, options));
    FIL_CHECK(ctx, c.o.a != NULL && c.o.b != NULL, "expected two files, found none as %s",
              c.o.a == NULL ? "a" : "b");
    FIL_TRY(compare(&c));
    c.r.psnr_mean /= (double)c.r.frames;
    c.r.ssim /= (double)c.r.frames;
    *result = c.r;
    return FIL_OK;
}
