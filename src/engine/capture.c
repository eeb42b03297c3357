/* engine/capture.c: q, k, v of chosen self-attentions as files (capture.h). What belongs to a run
 * (names, checks, metadata) is in generate_capture.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/capture.h"
#include "io/safetensors_writer.h"

enum { TOKENS = 64 /* that are put in order at a time */ };

/* ---- what is wanted ------------------------------------------------------------------------- */

static fil_status parse_list(fil_ctx *ctx, const char *what, const char *text, size_t bytes,
                             fili_ranges *out)
{
    const bool all = bytes == 3 && memcmp(text, "all", 3) == 0;
    return fili_ranges_parse(ctx, what, all ? NULL : text, bytes, out);
}

fil_status fili_capture_parse(fili_capture *out, fil_ctx *ctx, const char *text)
{
    const size_t layers = strcspn(text, ":");
    const char  *steps  = text + layers + 1;
    if (text[layers] == '\0')
        return FIL_FAIL(ctx, FIL_E_ARG,
                        "capture: expected LAYERS:STEPS, such as 0,5,10-12:4,15, found '%s'",
                        fili_quote(text, strlen(text)).text);
    const size_t n_steps = strcspn(steps, ":");
    *out                 = (fili_capture){.ctx = ctx, .wanted = 1};
    FIL_TRY(parse_list(ctx, "layers to capture", text, layers, &out->layers));
    FIL_TRY(parse_list(ctx, "steps to capture", steps, n_steps, &out->steps));
    const char *passes = steps[n_steps] == ':' ? steps + n_steps + 1 : "0";
    return parse_list(ctx, "passes to capture", passes, strlen(passes), &out->passes);
}

bool fili_capture_wants(const fili_capture *capture, int32_t layer, int32_t step, int32_t pass)
{
    return capture->wanted != 0 && fili_ranges_has(&capture->layers, layer) &&
           fili_ranges_has(&capture->steps, step) && fili_ranges_has(&capture->passes, pass);
}

fili_fixed fili_fixed_text(double value, int decimals)
{
    fili_fixed     f;
    const double   scale = pow(10.0, decimals);
    const uint64_t whole = (uint64_t)llround(value * scale);
    const uint64_t unit  = (uint64_t)scale;
    int            n = snprintf(f.text, sizeof f.text, "%llu", (unsigned long long)(whole / unit));
    if (whole % unit == 0) return f;
    n += snprintf(f.text + n, sizeof f.text - (size_t)n, ".%0*llu", decimals,
                  (unsigned long long)(whole % unit));
    while (f.text[n - 1] == '0')
        f.text[--n] = '\0';
    return f;
}

/* ---- a file --------------------------------------------------------------------------------- */

static size_t element_bytes(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

size_t fili_capture_rows_bytes(int32_t heads, int32_t head_dim, fil_dtype dtype)
{
    return (size_t)TOKENS * (size_t)heads * (size_t)head_dim * element_bytes(dtype);
}

/* Tokens begin .. begin + n - 1 of the raster order, [n, H, D]. */
static void gather(const fili_policy_call *call, const filk_attn_view *view, int32_t begin,
                   int32_t n, unsigned char *rows)
{
    const size_t         size = element_bytes(call->dtype);
    const size_t         head = (size_t)call->head_dim * size;
    const unsigned char *data = view->data;
    for (int32_t t = begin; t < begin + n; t++) {
        const int64_t place = call->order->inverse[t];
        for (int32_t h = 0; h < call->heads; h++, rows += head)
            memcpy(rows, data + (size_t)(place * view->stride_n + h * view->stride_h) * size, head);
    }
}

static fil_status put_tensor(const fili_capture *c, fili_writer *w, size_t slot,
                             const fili_policy_call *call, const filk_attn_view *view)
{
    const int32_t n   = call->order->n;
    const size_t  row = (size_t)call->heads * (size_t)call->head_dim * element_bytes(call->dtype);
    for (int32_t t = 0; t < n; t += TOKENS) {
        const int32_t now = n - t < TOKENS ? n - t : TOKENS;
        gather(call, view, t, now, c->rows);
        FIL_TRY(fili_writer_put(w, slot, c->rows, (size_t)now * row));
    }
    return FIL_OK;
}

fil_status fili_capture_write(const fili_capture *capture, const char *path,
                              const fili_policy_call *call, const fil_pair *metadata,
                              size_t n_pairs, int replace)
{
    static const char *const name[] = {"q", "k", "v"};
    fili_policy_rows         rows;
    FIL_TRY(fili_policy_bring(call, 0, call->order->n, &rows));
    const filk_attn_view *const view[] = {&rows.q, &rows.k, &rows.v};

    fil_tensor_desc t[3];
    fili_writer     w;
    fil_status      status = FIL_OK;
    for (int i = 0; i < 3; i++)
        t[i] = (fil_tensor_desc){.name  = name[i],
                                 .dtype = call->dtype,
                                 .rank  = 3,
                                 .shape = {call->order->n, call->heads, call->head_dim}};
    const fili_writer_input input = {
        .tensors = t, .n_tensors = 3, .metadata = metadata, .n_pairs = n_pairs};
    FIL_TRY(fili_writer_open(&w, capture->ctx, path, &input, replace));
    for (size_t i = 0; i < 3 && status == FIL_OK; i++)
        status = put_tensor(capture, &w, i, call, view[i]);
    if (status == FIL_OK) return fili_writer_finish(&w);
    fili_writer_close(&w);
    return status;
}
