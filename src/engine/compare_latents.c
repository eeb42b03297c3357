/* engine/compare_latents.c: latents against latents (compare_job.h): [C, T, H, W] f32, read one
 * plane of H x W at a time. Sums per latent frame are kept, since the peak of PSNR is known only at
 * the end.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "engine/compare_job.h"

typedef struct latent_pair {
    fili_comparison  *c;
    int64_t           shape[FILI_LATENT_RANK];
    size_t            plane; /* values */
    fili_tensors      set[2];
    const fili_entry *entry[2];
    float            *values; /* [2, plane] */
    fili_squares     *frame;  /* [T] */
} latent_pair;

static fil_status check_shapes(latent_pair *p)
{
    static const int64_t any[FILI_LATENT_RANK] = {-1, -1, -1, -1};

    const fil_compare_options *o   = &p->c->o;
    fil_ctx                   *ctx = p->c->ctx;
    int64_t                    b[FILI_LATENT_RANK];
    FIL_TRY(fili_latents_look(ctx, o->a, "latents", any, p->shape));
    FIL_TRY(fili_latents_look(ctx, o->b, "latents", any, b));
    for (int d = 0; d < FILI_LATENT_RANK; d++)
        if (p->shape[d] != b[d])
            return FIL_FAIL(ctx, FIL_E_SHAPE,
                            "expected latents alike, found dimension %d of %lld in '%s', of %lld "
                            "in '%s'",
                            d, (long long)p->shape[d], fili_quote(o->a, strlen(o->a)).text,
                            (long long)b[d], fili_quote(o->b, strlen(o->b)).text);
    for (int d = 0; d < FILI_LATENT_RANK; d++)
        if (p->shape[d] > INT32_MAX)
            return FIL_FAIL(ctx, FIL_E_LIMIT, "latents: dimension %d is %lld", d,
                            (long long)p->shape[d]);
    return FIL_OK;
}

static fil_status open_file(latent_pair *p, int i, const char *path)
{
    FIL_TRY(fili_tensors_open(&p->set[i], path));
    p->entry[i] = fili_tensors_find(&p->set[i], "latents");
    if (p->entry[i] != NULL && p->entry[i]->rank == FILI_LATENT_RANK &&
        memcmp(p->entry[i]->shape, p->shape, sizeof p->shape) == 0)
        return FIL_OK;
    return FIL_FAIL(p->c->ctx, FIL_E_IO, "'%s' changed while it was read",
                    fili_quote(path, strlen(path)).text);
}

static void add_plane(latent_pair *p, fili_squares *sums)
{
    fil_compare_result *r = &p->c->r;
    const float        *a = p->values;
    const float        *b = p->values + p->plane;
    for (size_t i = 0; i < p->plane; i++) {
        const double d = (double)a[i] - (double)b[i];
        const double v = fabs((double)b[i]);
        sums->error += d * d;
        sums->reference += v * v;
        if (fabs(d) > r->max_abs) r->max_abs = fabs(d);
        if (v > r->peak) r->peak = v;
    }
}

static fil_status every_plane(latent_pair *p)
{
    const size_t   bytes = p->plane * sizeof(float);
    const uint64_t n     = (uint64_t)(p->shape[0] * p->shape[1]);
    for (uint64_t i = 0; i < n; i++) {
        fili_progress(p->c->ctx, "compare", i, n);
        FIL_TRY(fili_check_cancel(p->c->ctx));
        for (size_t k = 0; k < 2; k++)
            FIL_TRY(fili_tensors_read(&p->set[k], p->entry[k], i * bytes, p->values + k * p->plane,
                                      bytes));
        add_plane(p, &p->frame[i % (uint64_t)p->shape[1]]);
    }
    fili_progress(p->c->ctx, "compare", n, n);
    return FIL_OK;
}

static fil_status sum_up(latent_pair *p)
{
    fil_compare_result *r      = &p->c->r;
    fili_squares        all    = {.error = 0.0};
    const double        values = (double)p->shape[0] * (double)p->plane;
    for (int32_t t = 0; t < r->frames; t++) {
        const fili_squares     *s = &p->frame[t];
        const fil_compare_frame f = {.index  = t,
                                     .equal  = s->error == 0.0,
                                     .psnr   = fili_psnr(r->peak, s->error, values),
                                     .ssim   = (double)NAN,
                                     .rel_l2 = fili_relative(s)};
        all.error += s->error;
        all.reference += s->reference;
        FIL_TRY(fili_compare_tell(p->c, &f));
    }
    r->equal  = all.error == 0.0;
    r->psnr   = fili_psnr(r->peak, all.error, values * (double)r->frames);
    r->rel_l2 = fili_relative(&all);
    return FIL_OK;
}

static fil_status take_memory(latent_pair *p, size_t *bytes)
{
    void *block;
    if (!fili_mul_size((size_t)p->shape[2], (size_t)p->shape[3], &p->plane) ||
        !fili_mul_size(p->plane, 2 * sizeof(float), bytes))
        return FIL_FAIL(p->c->ctx, FIL_E_NOMEM, "a plane of latents of %lld x %lld values",
                        (long long)p->shape[3], (long long)p->shape[2]);
    FIL_TRY(fili_alloc(p->c->ctx, *bytes, "planes of latents", &block));
    p->values = block;
    FIL_TRY(
        fili_calloc(p->c->ctx, (size_t)p->shape[1], sizeof *p->frame, "sums of latents", &block));
    p->frame = block;
    return FIL_OK;
}

static fil_status run(latent_pair *p, size_t *bytes)
{
    fil_compare_result *r = &p->c->r;
    FIL_TRY(check_shapes(p));
    r->kind     = FIL_COMPARE_LATENTS;
    r->channels = (int32_t)p->shape[0];
    r->frames   = (int32_t)p->shape[1];
    r->height   = (int32_t)p->shape[2];
    r->width    = (int32_t)p->shape[3];
    FIL_TRY(take_memory(p, bytes));
    FIL_TRY(open_file(p, 0, p->c->o.a));
    FIL_TRY(open_file(p, 1, p->c->o.b));
    FIL_TRY(every_plane(p));
    return sum_up(p);
}

fil_status fili_compare_latents(fili_comparison *c)
{
    latent_pair p     = {.c = c};
    size_t      bytes = 0;
    fili_tensors_init(&p.set[0], c->ctx, 0);
    fili_tensors_init(&p.set[1], c->ctx, 0);
    const fil_status status = run(&p, &bytes);
    fili_free(c->ctx, p.frame, (size_t)p.shape[1] * sizeof *p.frame);
    fili_free(c->ctx, p.values, bytes);
    fili_tensors_fini(&p.set[0]);
    fili_tensors_fini(&p.set[1]);
    return status;
}
