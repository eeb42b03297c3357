/* engine/compare_frames.c: frames against frames (compare_job.h). One frame of each side is held at
 * a time. Sums of squared bytes are whole numbers and exact: at most 2^16 * 2^30 * 10^5 < 2^63.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compare_job.h"

typedef struct byte_sums {
    uint64_t error, reference; /* squared */
    int32_t  most;             /* largest difference */
} byte_sums;

static void add_bytes(byte_sums *sums, const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int32_t d = abs((int32_t)a[i] - (int32_t)b[i]);
        sums->error += (uint64_t)(d * d);
        sums->reference += (uint64_t)b[i] * b[i];
        if (d > sums->most) sums->most = d;
    }
}

static fili_squares squares_of(const byte_sums *sums)
{
    return (fili_squares){.error = (double)sums->error, .reference = (double)sums->reference};
}

static fil_status check_sizes(fil_ctx *ctx, const fili_frames_in *a, const fili_frames_in *b)
{
    const fili_quoted name_a = fili_quote(a->path, strlen(a->path));
    const fili_quoted name_b = fili_quote(b->path, strlen(b->path));
    if (a->n != b->n || a->width != b->width || a->height != b->height)
        return FIL_FAIL(ctx, FIL_E_SHAPE,
                        "expected frames alike, found %d of %d x %d pixels in '%s', %d of %d x %d "
                        "in '%s'",
                        (int)a->n, (int)a->width, (int)a->height, name_a.text, (int)b->n,
                        (int)b->width, (int)b->height, name_b.text);
    if (a->n < 1) return FIL_FAIL(ctx, FIL_E_SHAPE, "'%s' has no frame", name_a.text);
    return FIL_OK;
}

static fil_status one_frame(fili_comparison *c, fili_ssim *ssim, const uint8_t *a, const uint8_t *b,
                            int32_t index, byte_sums *all)
{
    const size_t      n   = 3 * (size_t)c->r.width * (size_t)c->r.height;
    byte_sums         own = {.most = 0};
    fil_compare_frame f   = {.index = index};
    add_bytes(&own, a, b, n);
    const fili_squares s = squares_of(&own);
    f.equal              = own.error == 0;
    f.psnr               = fili_psnr(255.0, s.error, (double)n);
    f.rel_l2             = fili_relative(&s);
    FIL_TRY(fili_ssim_of(ssim, a, b, &f.ssim));
    all->error += own.error;
    all->reference += own.reference;
    if (own.most > all->most) all->most = own.most;
    return fili_compare_tell(c, &f);
}

static fil_status every_frame(fili_comparison *c, fili_ssim *ssim, fili_frames_in *a,
                              fili_frames_in *b)
{
    fil_compare_result *r   = &c->r;
    const uint64_t      n   = (uint64_t)r->frames;
    byte_sums           all = {.most = 0};
    for (int32_t i = 0; i < r->frames; i++) {
        const uint8_t *pa;
        const uint8_t *pb;
        fili_progress(c->ctx, "compare", (uint64_t)i, n);
        FIL_TRY(fili_check_cancel(c->ctx));
        FIL_TRY(fili_frames_in_bytes(a, i, &pa));
        FIL_TRY(fili_frames_in_bytes(b, i, &pb));
        FIL_TRY(one_frame(c, ssim, pa, pb, i, &all));
    }
    fili_progress(c->ctx, "compare", n, n);
    const fili_squares s      = squares_of(&all);
    const double       values = 3.0 * (double)r->width * (double)r->height * (double)r->frames;
    r->equal                  = all.error == 0;
    r->psnr                   = fili_psnr(r->peak, s.error, values);
    r->rel_l2                 = fili_relative(&s);
    r->max_abs                = (double)all.most;
    return FIL_OK;
}

static fil_status both_open(fili_comparison *c, fili_frames_in *a, fili_frames_in *b)
{
    fili_ssim ssim;
    FIL_TRY(check_sizes(c->ctx, a, b));
    c->r.kind     = FIL_COMPARE_FRAMES;
    c->r.channels = 3;
    c->r.frames   = a->n;
    c->r.width    = a->width;
    c->r.height   = a->height;
    c->r.peak     = 255.0;
    FIL_TRY(fili_ssim_open(&ssim, c->ctx, a->width, a->height));
    const fil_status status = every_frame(c, &ssim, a, b);
    fili_ssim_close(&ssim);
    return status;
}

fil_status fili_compare_frames(fili_comparison *c)
{
    fili_frames_in a;
    fili_frames_in b;
    FIL_TRY(fili_frames_in_open(&a, c->ctx, c->o.a));
    fil_status status = fili_frames_in_open(&b, c->ctx, c->o.b);
    if (status == FIL_OK) {
        status = both_open(c, &a, &b);
        fili_frames_in_close(&b);
    }
    fili_frames_in_close(&a);
    return status;
}
