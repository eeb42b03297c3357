/* engine/probe_file.c: q, k, v from a file and back (probe.h). Raster order outside, the policy's
 * order inside.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/probe.h"
#include "io/safetensors_writer.h"
#include "sparse/mask_file.h"
#include "tensor/convert.h"

/* ---- metadata ------------------------------------------------------------------------------- */

/* A count from the metadata; `missing` where it has none that is a number of 0 to 9999. */
static int32_t count_of(const fili_probe *p, const char *key, int32_t missing)
{
    const char *text = fili_tensors_metadata(&p->set, key);
    char       *end;
    if (text == NULL || text[0] < '0' || text[0] > '9' || strlen(text) > 4) return missing;
    const long n = strtol(text, &end, 10);
    return *end == '\0' ? (int32_t)n : missing;
}

/* The step of quantised values: a positive finite number. */
static fil_status step_of(const fili_probe *p, const char *name, float *step)
{
    char key[32];
    snprintf(key, sizeof key, "%s_step", name);
    const char *text = fili_tensors_metadata(&p->set, key);
    char       *end  = NULL;
    *step            = text != NULL ? strtof(text, &end) : 0.0f;
    if (text != NULL && *end == '\0' && isfinite(*step) && *step > 0.0f) return FIL_OK;
    return FIL_FAIL(p->ctx, FIL_E_MISMATCH,
                    "tensor '%s' is I8: expected a positive number as %s in the metadata, found "
                    "%.40s",
                    name, key, text != NULL ? fili_quote(text, strlen(text)).text : "none");
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static fil_status check_tensor(fili_probe *p, const char *name, const fili_entry *like,
                               const fili_entry **out)
{
    const fili_entry *e = fili_tensors_find(&p->set, name);
    *out                = e;
    if (e == NULL)
        return FIL_FAIL(p->ctx, FIL_E_MISMATCH,
                        "expected tensors q, k and v, found none of the name '%s'", name);
    if (e->dtype != FIL_BF16 && e->dtype != FIL_F32 && e->dtype != FIL_I8)
        return FIL_FAIL(p->ctx, FIL_E_MISMATCH, "tensor '%s': expected BF16, F32 or I8, found %s",
                        name, fil_dtype_name(e->dtype));
    if (e->rank != 3 || e->shape[0] < 1 || e->shape[0] > INT32_MAX || e->shape[1] < 1 ||
        e->shape[1] > 4096 || (e->shape[2] != 64 && e->shape[2] != 128))
        return FIL_FAIL(p->ctx, FIL_E_MISMATCH,
                        "tensor '%s': expected [tokens, heads, 64 or 128], found rank %u: %lld, "
                        "%lld, %lld",
                        name, e->rank, (long long)e->shape[0], (long long)e->shape[1],
                        (long long)e->shape[2]);
    if (like != NULL && memcmp(e->shape, like->shape, 3 * sizeof e->shape[0]) != 0)
        return FIL_FAIL(p->ctx, FIL_E_MISMATCH, "tensor '%s' has another shape than 'q'", name);
    return FIL_OK;
}

static fil_status find_grid(fili_probe *p)
{
    fili_grid  *g    = &p->setup.grid;
    const char *text = fili_tensors_metadata(&p->set, "grid");
    int32_t     n;
    *g = (fili_grid){p->o.grid.f, p->o.grid.h, p->o.grid.w};
    if (g->f == 0 && g->h == 0 && g->w == 0) {
        FIL_CHECK(p->ctx, text != NULL, "expected a grid (F,H,W), as the file names none");
        if (fili_grid_parse(p->ctx, text, g) != FIL_OK) {
            fili_ctx_enter(p->ctx); /* what is wrong is the file, not an argument */
            return FIL_FAIL(p->ctx, FIL_E_MISMATCH,
                            "metadata 'grid': expected f,h,w as in 21,30,52, found '%.40s'",
                            fili_quote(text, strlen(text)).text);
        }
    }
    FIL_TRY(fili_grid_tokens(p->ctx, *g, &n));
    if (n == p->n) return FIL_OK;
    return FIL_FAIL(p->ctx, FIL_E_MISMATCH,
                    "a grid of %d,%d,%d has %d tokens; the tensors have %lld", g->f, g->h, g->w, n,
                    (long long)p->n);
}

static fil_status find_place(fili_probe *p)
{
    p->layer        = p->o.layer != FIL_AUTO ? p->o.layer : count_of(p, "layer", 0);
    p->step         = p->o.step != FIL_AUTO ? p->o.step : count_of(p, "step", 0);
    p->setup.layers = count_of(p, "layers", p->layer + 1);
    p->setup.steps  = count_of(p, "steps", p->step + 1);
    FIL_CHECK(p->ctx, p->layer >= 0 && p->layer < p->setup.layers,
              "layer: expected 0 to %d, found %d", p->setup.layers - 1, p->layer);
    FIL_CHECK(p->ctx, p->step >= 0 && p->step < p->setup.steps, "step: expected 0 to %d, found %d",
              p->setup.steps - 1, p->step);
    return FIL_OK;
}

fil_status fili_probe_look(fili_probe *p)
{
    const fili_entry *q;
    const fili_entry *other;
    FIL_TRY(fili_tensors_open(&p->set, p->o.qkv));
    FIL_TRY(check_tensor(p, "q", NULL, &q));
    FIL_TRY(check_tensor(p, "k", q, &other));
    FIL_TRY(check_tensor(p, "v", q, &other));
    p->setup.has_gate = fili_tensors_find(&p->set, "gate") != NULL;
    if (p->setup.has_gate) FIL_TRY(check_tensor(p, "gate", q, &other));
    p->n              = q->shape[0];
    p->setup.heads    = (int32_t)q->shape[1];
    p->setup.head_dim = (int32_t)q->shape[2];
    p->setup.passes   = 1;
    p->setup.single   = 1;
    p->setup.dtype    = p->o.precision != FIL_DTYPE_NONE ? p->o.precision
                        : q->dtype == FIL_I8             ? FIL_F32
                                                         : q->dtype;
    FIL_TRY(find_grid(p));
    return find_place(p);
}

/* ---- reading --------------------------------------------------------------------------------
 */

/* Row i of the order, as f32. */
static fil_status read_row(fili_probe *p, const fili_entry *e, float step, int64_t i, void *raw,
                           float *row)
{
    const int64_t  cols = (int64_t)p->setup.heads * p->setup.head_dim;
    const uint64_t size = fil_dtype_bits(e->dtype) / 8;
    const uint64_t at   = (uint64_t)p->policy->order.order[i] * (uint64_t)cols * size;
    FIL_TRY(fili_tensors_read(&p->set, e, at, raw, (uint64_t)cols * size));
    if (e->dtype != FIL_I8) return fili_convert(p->ctx, FIL_F32, row, e->dtype, raw, cols);
    for (int64_t c = 0; c < cols; c++)
        row[c] = step * (float)((const int8_t *)raw)[c];
    return FIL_OK;
}

/* Into out of the run's type and, if not NULL, into f32 as the run's type has it. */
static fil_status read_tensor(fili_probe *p, const char *name, void *out, float *out32)
{
    const fili_entry *e    = fili_tensors_find(&p->set, name);
    const int64_t     cols = (int64_t)p->setup.heads * p->setup.head_dim;
    const size_t      size = p->setup.dtype == FIL_BF16 ? 2 : 4;
    float             step = 1.0f;
    void             *raw;
    void             *row;
    if (e->dtype == FIL_I8) FIL_TRY(step_of(p, name, &step));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)cols, sizeof(float), &raw));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)cols, sizeof(float), &row));
    for (int64_t i = 0; i < p->n; i++) {
        char *to = (char *)out + (size_t)(i * cols) * size;
        FIL_TRY(read_row(p, e, step, i, raw, row));
        FIL_TRY(fili_convert(p->ctx, p->setup.dtype, to, FIL_F32, row, cols));
        if (out32 != NULL && (void *)out32 != out)
            FIL_TRY(fili_convert(p->ctx, FIL_F32, out32 + i * cols, p->setup.dtype, to, cols));
    }
    return FIL_OK;
}

fil_status fili_probe_read(fili_probe *p)
{
    FIL_TRY(read_tensor(p, "q", p->q, p->q32));
    FIL_TRY(read_tensor(p, "k", p->k, p->k32));
    FIL_TRY(read_tensor(p, "v", p->v, p->v32));
    return p->gate != NULL ? read_tensor(p, "gate", p->gate, NULL) : FIL_OK;
}

/* ---- writing --------------------------------------------------------------------------------
 */

static fil_status put_mask(fili_probe *p, fili_mask_writer *w)
{
    fili_mask full;
    if (p->choice.mask != NULL) return fili_mask_writer_put(w, p->choice.mask);
    FIL_TRY(fili_mask_init(&full, p->ctx, 1, p->policy->blocks.m, p->policy->blocks.m));
    fili_mask_fill(&full);
    const fil_status status = fili_mask_writer_put(w, &full);
    fili_mask_fini(&full);
    return status;
}

static fil_status write_mask(fili_probe *p)
{
    const fili_mask_key  any  = {FILI_MASK_ANY, FILI_MASK_ANY, FILI_MASK_ANY};
    const fili_mask_desc desc = {.order   = &p->policy->order,
                                 .q       = &p->policy->blocks,
                                 .k       = &p->policy->blocks,
                                 .map     = &any,
                                 .n_masks = 1,
                                 .heads   = p->choice.mask != NULL ? p->choice.mask->heads : 1};
    fili_mask_writer     w;
    FIL_TRY(fili_mask_writer_open(&w, p->ctx, p->o.mask_out, &desc, p->o.replace));
    const fil_status status = put_mask(p, &w);
    if (status == FIL_OK) return fili_mask_writer_finish(&w);
    fili_mask_writer_close(&w);
    return status;
}

static fil_status put_rows(fili_probe *p, fili_writer *w)
{
    const int64_t cols = (int64_t)p->setup.heads * p->setup.head_dim;
    for (int64_t i = 0; i < p->n; i++)
        FIL_TRY(fili_writer_put(w, 0, p->got + p->policy->order.inverse[i] * cols,
                                (uint64_t)cols * sizeof(float)));
    return FIL_OK;
}

static fil_status write_out(fili_probe *p)
{
    char grid[48];
    snprintf(grid, sizeof grid, "%d,%d,%d", p->setup.grid.f, p->setup.grid.h, p->setup.grid.w);
    const fil_tensor_desc   t       = {.name  = "out",
                                       .dtype = FIL_F32,
                                       .rank  = 3,
                                       .shape = {p->n, p->setup.heads, p->setup.head_dim}};
    const fil_pair          pairs[] = {{"grid", grid}, {"policy", p->policy->ops->name}};
    const fili_writer_input input   = {
          .tensors = &t, .n_tensors = 1, .metadata = pairs, .n_pairs = 2};
    fili_writer w;
    FIL_TRY(fili_writer_open(&w, p->ctx, p->o.out, &input, p->o.replace));
    const fil_status status = put_rows(p, &w);
    if (status == FIL_OK) return fili_writer_finish(&w);
    fili_writer_close(&w);
    return status;
}

fil_status fili_probe_write(fili_probe *p)
{
    if (p->o.mask_out != NULL) FIL_TRY(write_mask(p));
    return p->o.out != NULL ? write_out(p) : FIL_OK;
}
