/* engine/latents_file.c: noise and latents as tensors in safetensors files (video_job.h): one f32
 * tensor of four dimensions [C, T, H, W] under a known name; others in the file are left alone.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "diffusion/noise.h"
#include "engine/video_job.h"

typedef struct shape_text {
    char text[96];
} shape_text;

static shape_text show(const int64_t *shape, uint32_t rank)
{
    shape_text s;
    size_t     n = (size_t)snprintf(s.text, sizeof s.text, "[");
    for (uint32_t d = 0; d < rank && n < sizeof s.text; d++) {
        const char *joint = d == 0 ? "" : ", ";
        const int   more  = shape[d] < 0 ? snprintf(s.text + n, sizeof s.text - n, "%s*", joint)
                                         : snprintf(s.text + n, sizeof s.text - n, "%s%lld", joint,
                                                    (long long)shape[d]);
        n += more > 0 ? (size_t)more : 0;
    }
    if (n < sizeof s.text) snprintf(s.text + n, sizeof s.text - n, "]");
    return s;
}

static fil_status check_entry(fil_ctx *ctx, const char *name, const fili_entry *e,
                              const int64_t want[FILI_LATENT_RANK])
{
    if (e == NULL)
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "expected a tensor '%s', found none of that name",
                        name);
    if (e->dtype != FIL_F32)
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "tensor '%s': expected F32, found %s", name,
                        fil_dtype_name(e->dtype));
    bool fits = e->rank == FILI_LATENT_RANK;
    for (int d = 0; d < FILI_LATENT_RANK && fits; d++)
        fits = want[d] < 0 ? e->shape[d] > 0 : e->shape[d] == want[d];
    if (fits) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_SHAPE, "tensor '%s': expected %s, found %s", name,
                    show(want, FILI_LATENT_RANK).text, show(e->shape, e->rank).text);
}

enum { SCANNED = 2048 };

static fil_status scan(fil_ctx *ctx, const char *name, const fili_tensors *set, const fili_entry *e)
{
    float          values[SCANNED];
    const uint64_t n = e->bytes / sizeof values[0];
    for (uint64_t at = 0; at < n; at += SCANNED) {
        const size_t now = n - at < SCANNED ? (size_t)(n - at) : SCANNED;
        FIL_TRY(fili_tensors_read(set, e, at * sizeof values[0], values, now * sizeof values[0]));
        for (size_t i = 0; i < now; i++)
            if (!isfinite(values[i]))
                return FIL_FAIL(ctx, FIL_E_NONFINITE, "%s: value %llu of %llu is %s", name,
                                (unsigned long long)(at + i), (unsigned long long)n,
                                isnan(values[i]) ? "not a number" : "infinite");
    }
    return FIL_OK;
}

static fil_status use_tensor(fil_ctx *ctx, const char *path, const char *name,
                             const int64_t want[FILI_LATENT_RANK], int64_t found[FILI_LATENT_RANK],
                             float *out)
{
    fili_tensors set;
    fil_status   status;
    fili_tensors_init(&set, ctx, 0);
    FIL_TRY_OR(done, fili_tensors_open(&set, path)); /* names the file itself */
    const fili_entry *e = fili_tensors_find(&set, name);
    status              = check_entry(ctx, name, e, want);
    if (status == FIL_OK && found != NULL)
        memcpy(found, e->shape, FILI_LATENT_RANK * sizeof found[0]);
    if (status == FIL_OK && out == NULL) status = scan(ctx, name, &set, e);
    if (status == FIL_OK && out != NULL) status = fili_tensors_read(&set, e, 0, out, e->bytes);
    if (status == FIL_OK && out != NULL)
        status = fili_check_finite(ctx, name, out, (int64_t)(e->bytes / sizeof *out));
    if (status != FIL_OK) fili_error_frame(ctx, "file %s", fili_quote(path, strlen(path)).text);
done:
    fili_tensors_fini(&set);
    return status;
}

fil_status fili_latents_look(fil_ctx *ctx, const char *path, const char *name,
                             const int64_t want[FILI_LATENT_RANK], int64_t found[FILI_LATENT_RANK])
{
    return use_tensor(ctx, path, name, want, found, NULL);
}

fil_status fili_latents_read(fil_ctx *ctx, const char *path, const char *name,
                             const int64_t want[FILI_LATENT_RANK], float *out)
{
    return use_tensor(ctx, path, name, want, NULL, out);
}

fil_status fili_latents_write(fil_ctx *ctx, const char *path, const char *name,
                              const int64_t shape[FILI_LATENT_RANK], const float *data, int replace)
{
    fil_tensor_desc t     = {.name = name, .dtype = FIL_F32, .rank = FILI_LATENT_RANK};
    uint64_t        bytes = sizeof *data;
    fili_writer     w;
    for (int d = 0; d < FILI_LATENT_RANK; d++) {
        t.shape[d] = shape[d];
        bytes *= (uint64_t)shape[d];
    }
    const fili_writer_input input = {.tensors = &t, .n_tensors = 1};
    FIL_TRY(fili_writer_open(&w, ctx, path, &input, replace));
    const fil_status status = fili_writer_put(&w, 0, data, bytes);
    if (status == FIL_OK) return fili_writer_finish(&w);
    fili_writer_close(&w);
    return status;
}
