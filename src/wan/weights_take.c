/* wan/weights_take.c: checks a tensor and gives its values as bf16 or f32 (weights.h).
 *
 * A tensor of the wanted type is read as it is; any other goes through small pieces on the stack,
 * widened to f32, scaled where the file says so, and rounded once. F8_E5M2 is the upper byte of
 * F16. Of GGUF's block types whole blocks are read, also for a part that begins inside one. Only
 * floating-point and block types are read. Large tensors are read by all threads, in tasks of fixed
 * size.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"
#include "wan/weights_inside.h"

enum {
    PIECE = 2048,   /* elements: whole blocks of every type */
    GRAIN = 1 << 18 /* of a task: whole pieces */
};

/* ---- checks --------------------------------------------------------------------------------- */

fili_shape_string fili_shape_text(uint32_t rank, const int64_t *shape)
{
    fili_shape_string s  = {.text = "["};
    size_t            at = 1;
    for (uint32_t i = 0; i < rank && at < sizeof s.text; i++) {
        char number[24] = "any";
        if (shape[i] >= 0) snprintf(number, sizeof number, "%lld", (long long)shape[i]);
        const int n = snprintf(s.text + at, sizeof s.text - at, "%s%s", i > 0 ? ", " : "", number);
        at += n > 0 ? (size_t)n : 0;
    }
    if (at < sizeof s.text - 1) {
        s.text[at]     = ']';
        s.text[at + 1] = '\0';
    }
    return s;
}

bool fili_weights_is_number(fil_dtype dtype)
{
    return fili_convert_has(dtype) || dtype == FIL_F8_E5M2 || fili_dequant_has(dtype);
}

static bool fits(const fili_entry *e, uint32_t rank, const int64_t *shape)
{
    if (e->rank != rank) return false;
    for (uint32_t i = 0; i < rank; i++)
        if (shape[i] >= 0 && shape[i] != e->shape[i]) return false;
    return true;
}

static fil_status check_type(const fili_weights *w, const fili_weight *t)
{
    const fili_quoted name = fili_quote(t->entry->name, strlen(t->entry->name));
    if (!fili_weights_is_number(t->entry->dtype) && t->quantised)
        return FIL_FAIL(w->ctx, FIL_E_UNSUP,
                        "tensor '%s' is quantised as %s (comfy_quant); filigree reads fp8 alone",
                        name.text, fil_dtype_name(t->entry->dtype));
    if (!fili_weights_is_number(t->entry->dtype))
        return FIL_FAIL(w->ctx, FIL_E_MISMATCH,
                        "tensor '%s' has type %s; expected BF16, F16, F32, F64, an F8 or a block "
                        "type of GGUF; the tensors look like %s",
                        name.text, fil_dtype_name(t->entry->dtype), fili_weights_likely(w));
    if (t->scale != NULL && (t->scale->bytes != 4 || t->scale->dtype != FIL_F32))
        return FIL_FAIL(w->ctx, FIL_E_UNSUP,
                        "the scale of tensor '%s' has type %s and shape %s; filigree reads one F32",
                        name.text, fil_dtype_name(t->scale->dtype),
                        fili_shape_text(t->scale->rank, t->scale->shape).text);
    return FIL_OK;
}

static fil_status check(fili_weights *w, const char *name, uint32_t rank, const int64_t *shape,
                        fili_weight **out)
{
    fili_weight *t = fili_weights_tensor(w, name);
    if (t == NULL)
        return FIL_FAIL(w->ctx, FIL_E_MISMATCH,
                        "tensor '%s' of shape %s is missing; the tensors look like %s", name,
                        fili_shape_text(rank, shape).text, fili_weights_likely(w));
    t->used = true;
    if (!fits(t->entry, rank, shape))
        return FIL_FAIL(w->ctx, FIL_E_MISMATCH,
                        "tensor '%s' has shape %s; expected %s; the tensors look like %s",
                        fili_quote(t->entry->name, strlen(t->entry->name)).text,
                        fili_shape_text(t->entry->rank, t->entry->shape).text,
                        fili_shape_text(rank, shape).text, fili_weights_likely(w));
    *out = t;
    return check_type(w, t);
}

fil_status fili_weights_expect(fili_weights *w, const char *name, uint32_t rank,
                               const int64_t *shape)
{
    fili_weight *t;
    return check(w, name, rank, shape, &t);
}

/* ---- values --------------------------------------------------------------------------------- */

static const void *data_of(const fili_weights *w, const fili_weight *t)
{
    return t->made != NULL ? t->made : fili_tensors_map(&w->set, t->entry);
}

/* An 8-bit float with 5 bits of exponent is the upper byte of an F16. */
static void widen_e5m2(uint16_t *dst, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = (uint16_t)((uint16_t)src[i] << 8);
}

/* The n elements from `skip` on of what lies at src; skip + n <= PIECE. skip is not 0 only for
 * block types, where src is the beginning of a block. */
static void convert_piece(fili_isa isa, fil_dtype from, const void *src, size_t skip, float scale,
                          fil_dtype want, void *dst, size_t n)
{
    float                   room[PIECE];
    uint16_t                half[PIECE];
    float                  *wide = room;
    const fili_convert_set *set  = fili_convert_select(isa);
    if (from == FIL_F8_E5M2) {
        widen_e5m2(half, src, n);
        src  = half;
        from = FIL_F16;
    }
    if (fili_dequant_has(from)) {
        uint32_t block;
        (void)fil_dtype_block(from, &block);
        fili_dequant_select(isa, from)(room, src, (skip + n + block - 1) / block);
        wide = room + skip;
    } else if (scale == 1.0f) {
        fili_convert_row(set, want, dst, from, src, n);
        return;
    } else {
        fili_convert_row(set, FIL_F32, wide, from, src, n);
    }
    for (size_t i = 0; scale != 1.0f && i < n; i++)
        wide[i] *= scale;
    fili_convert_row(set, want, dst, FIL_F32, wide, n);
}

static fil_status read_scale(const fili_weights *w, const fili_weight *t, float *scale)
{
    *scale = 1.0f;
    return t->scale != NULL ? fili_tensors_read(&w->set, t->scale, 0, scale, sizeof *scale)
                            : FIL_OK;
}

/* Elements first .. end - 1 of a tensor, as `want`, to dst. */
typedef struct request {
    fil_dtype from, want;
    float     scale;
    uint64_t  first, end;
    char     *dst;
} request;

/* raw: elements at .. at + count - 1, from the beginning of a block on. Those that are wanted. */
static void convert_stretch(fili_isa isa, const request *r, uint64_t at, uint64_t count,
                            const unsigned char *raw)
{
    const uint64_t to  = fil_dtype_bits(r->want) / 8;
    const uint64_t end = at + count < r->end ? at + count : r->end;
    uint32_t       block;
    const uint64_t size = fil_dtype_block(r->from, &block);
    for (uint64_t piece = at; piece < end; piece += PIECE) {
        const uint64_t begin = piece > r->first ? piece : r->first;
        const uint64_t stop  = end - piece < PIECE ? end : piece + PIECE;
        if (begin >= stop) continue;
        convert_piece(isa, r->from, raw + (piece - at) / block * size, (size_t)(begin - piece),
                      r->scale, r->want, r->dst + (begin - r->first) * to, (size_t)(stop - begin));
    }
}

/* A request on its way: tasks of GRAIN elements from `base` on, the beginning of a block. */
typedef struct reading {
    const fili_weights *w;
    const fili_weight  *t;
    const request      *r;
    uint64_t            base;
    atomic_llong        failure; /* of the file, as fili_file_read_raw tells it; 0: none */
} reading;

static int64_t read_bytes(const reading *g, uint64_t begin, void *dst, uint64_t bytes)
{
    const fili_entry *e = g->t->entry;
    if (g->t->made == NULL)
        return fili_file_read_raw(g->w->ctx->os, &g->w->set.sources[e->source].file,
                                  e->offset + begin, dst, (size_t)bytes);
    memcpy(dst, (const char *)g->t->made + begin, (size_t)bytes);
    return 0;
}

/* Elements at .. end - 1, through small pieces. */
static int64_t read_range(const reading *g, uint64_t at, uint64_t end)
{
    unsigned char  raw[PIECE * sizeof(double)]; /* a piece of the widest type, more of others */
    const request *r = g->r;
    uint32_t       block;
    const uint64_t size = fil_dtype_block(r->from, &block);
    const uint64_t most = sizeof raw / size * block;
    if (r->from == r->want && r->scale == 1.0f)
        return read_bytes(g, at / block * size, r->dst + (at - r->first) / block * size,
                          (end - at) / block * size);
    for (; at < end; at += most) {
        const uint64_t blocks  = (end - at + block - 1) / block;
        const uint64_t count   = blocks * block < most ? blocks * block : most;
        const int64_t  failure = read_bytes(g, at / block * size, raw, count / block * size);
        if (failure != 0) return failure;
        convert_stretch(g->w->ctx->isa, r, at, count, raw);
    }
    return 0;
}

static fil_status read_task(void *arg, int64_t task, int32_t worker)
{
    reading       *g     = arg;
    const uint64_t begin = g->base + (uint64_t)task * GRAIN;
    const uint64_t end   = g->r->end - begin < GRAIN ? g->r->end : begin + GRAIN;
    (void)worker;
    if (atomic_load(&g->failure) != 0) return FIL_OK;
    const int64_t failure = read_range(g, begin, end);
    if (failure != 0) atomic_store(&g->failure, failure);
    return FIL_OK;
}

/* Elements first .. first + n - 1, which are there. */
static fil_status read_values(const fili_weights *w, const fili_weight *t, fil_dtype want,
                              uint64_t first, uint64_t n, void *dst)
{
    request r = {
        .from = t->entry->dtype, .want = want, .first = first, .end = first + n, .dst = dst};
    reading  g = {.w = w, .t = t, .r = &r};
    uint32_t block;
    (void)fil_dtype_block(r.from, &block);
    g.base = r.from == want ? first : first - first % block;
    atomic_init(&g.failure, 0);
    FIL_TRY(read_scale(w, t, &r.scale));
    FIL_TRY(fili_pool_run(w->ctx, "reading a tensor",
                          fili_task_count((int64_t)(r.end - g.base), GRAIN), read_task, &g));
    const int64_t failure = atomic_load(&g.failure);
    return failure == 0
               ? FIL_OK
               : fili_file_read_failed(w->ctx, &w->set.sources[t->entry->source].file, failure);
}

static uint64_t elements(const fili_weight *t)
{
    uint32_t       block;
    const uint64_t size = fil_dtype_block(t->entry->dtype, &block);
    return t->entry->bytes / size * block;
}

static fil_status framed(const fili_weights *w, const fili_weight *t, fil_status status)
{
    if (status != FIL_OK && t->made == NULL) {
        const char *source = w->set.sources[t->entry->source].name;
        fili_error_frame(w->ctx, "tensor %s",
                         fili_quote(t->entry->name, strlen(t->entry->name)).text);
        fili_error_frame(w->ctx, "file %s", fili_quote(source, strlen(source)).text);
    }
    return status;
}

fil_status fili_weights_read(fili_weights *w, const char *name, fil_dtype want, uint32_t rank,
                             const int64_t *shape, void *dst)
{
    fili_weight *t;
    FIL_TRY(check(w, name, rank, shape, &t));
    return framed(w, t, read_values(w, t, want, 0, elements(t), dst));
}

fil_status fili_weights_read_part(fili_weights *w, const char *name, fil_dtype want, uint64_t first,
                                  uint64_t n, void *dst)
{
    const fili_weight *t = fili_weights_tensor(w, name);
    FIL_CHECK(w->ctx, t != NULL && fili_weights_is_number(t->entry->dtype),
              "tensor '%s' was not checked", name);
    FIL_CHECK(w->ctx, first <= elements(t) && n <= elements(t) - first,
              "%llu elements from %llu on lie outside of tensor '%s'", (unsigned long long)n,
              (unsigned long long)first, name);
    return framed(w, t, read_values(w, t, want, first, n, dst));
}

/* Blocks are read at any address. */
static bool is_aligned(const void *data, fil_dtype dtype)
{
    return fili_dequant_has(dtype) || (uintptr_t)data % (fil_dtype_bits(dtype) / 8) == 0;
}

static const void *usable(const fili_weights *w, const fili_weight *t, fil_dtype want)
{
    const void *data = data_of(w, t);
    if (data == NULL || t->entry->dtype != want || t->scale != NULL) return NULL;
    return is_aligned(data, want) ? data : NULL;
}

void fili_weights_will_read(const fili_weights *w, const char *prefix)
{
    const size_t n = strlen(prefix);
    for (size_t i = 0; i < w->n; i++) {
        const fili_weight *t = &w->tensors[i];
        if (t->made == NULL && strncmp(t->name, prefix, n) == 0)
            fili_tensors_will_read(&w->set, t->entry);
    }
}

const void *fili_weights_in_place(const fili_weights *w, const char *name, fil_dtype want)
{
    const fili_weight *t = fili_weights_tensor(w, name);
    return t != NULL ? usable(w, t, want) : NULL;
}

const void *fili_weights_as_they_are(const fili_weights *w, const char *name, fil_dtype *dtype)
{
    const fili_weight *t = fili_weights_tensor(w, name);
    *dtype               = FIL_DTYPE_NONE;
    if (t == NULL || t->scale != NULL) return NULL;
    if (!fili_convert_has(t->entry->dtype) && !fili_dequant_has(t->entry->dtype)) return NULL;
    *dtype = t->entry->dtype;
    return usable(w, t, *dtype);
}

static fil_status hold(fili_weights *w, fili_weight *t, fil_dtype want, fili_weight_copy *copy)
{
    void          *block;
    const uint64_t n     = elements(t);
    const uint64_t bytes = n * (fil_dtype_bits(want) / 8); /* n <= 2^63 / 8 */
    FIL_TRY(fili_alloc(w->ctx, (size_t)bytes, "weights", &block));
    const fil_status status = framed(w, t, read_values(w, t, want, 0, n, block));
    if (status != FIL_OK) {
        fili_free(w->ctx, block, (size_t)bytes);
        return status;
    }
    *copy = (fili_weight_copy){.data = block, .bytes = (size_t)bytes};
    return FIL_OK;
}

fil_status fili_weights_get(fili_weights *w, const char *name, fil_dtype want, uint32_t rank,
                            const int64_t *shape, const void **data)
{
    fili_weight *t;
    *data = NULL;
    FIL_CHECK(w->ctx, want == FIL_BF16 || want == FIL_F32, "weights are given as BF16 or F32");
    FIL_TRY(check(w, name, rank, shape, &t));
    *data = usable(w, t, want);
    if (*data != NULL) return FIL_OK;
    fili_weight_copy *copy = &t->held[want == FIL_F32];
    if (copy->data == NULL) FIL_TRY(hold(w, t, want, copy));
    *data = copy->data;
    return FIL_OK;
}
