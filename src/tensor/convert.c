/* tensor/convert.c: picks a variant and joins a load and a store into each of the 25 pairs
 * (tensor/convert.h).
 *
 * F32 is the middle of every pair: the five types lie inside it, but for F64, which is rounded to
 * odd on its way. A piece of BLOCK elements stays in the first-level cache between the two halves.
 * Strided data go through blocks as well, gathered and scattered by element size.
 */
#include <string.h>

#include "base/checked.h"
#include "tensor/convert_sets.h"

enum { BLOCK = 512 };

const fili_convert_variant fili_convert_variants[] = {
#define FILI_CONVERT(isa, set) {(isa), &(set)},
#include "tensor/convert.inc"
#undef FILI_CONVERT
};

const size_t fili_n_convert_variants =
    sizeof fili_convert_variants / sizeof fili_convert_variants[0];

const fili_convert_set *fili_convert_select(fili_isa isa)
{
    size_t i = 0;
    while (!fili_isa_has(isa, fili_convert_variants[i].needs))
        i++; /* ends: everything has FILI_ISA_REF */
    return fili_convert_variants[i].set;
}

bool fili_convert_has(fil_dtype dtype)
{
    return dtype == FIL_F64 || dtype == FIL_F32 || dtype == FIL_BF16 || dtype == FIL_F16 ||
           dtype == FIL_F8_E4M3;
}

/* ---- dense ---------------------------------------------------------------------------------- */

static fili_convert_fn load_of(const fili_convert_set *set, fil_dtype src, bool to_f32)
{
    if (src == FIL_BF16) return set->load_bf16;
    if (src == FIL_F16) return set->load_f16;
    if (src == FIL_F8_E4M3) return set->load_f8;
    return to_f32 ? set->load_f64 : set->load_f64_odd;
}

static fili_convert_fn store_of(const fili_convert_set *set, fil_dtype dst)
{
    if (dst == FIL_BF16) return set->store_bf16;
    if (dst == FIL_F16) return set->store_f16;
    if (dst == FIL_F8_E4M3) return set->store_f8;
    return set->store_f64;
}

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

void fili_convert_row(const fili_convert_set *set, fil_dtype dst_dtype, void *dst,
                      fil_dtype src_dtype, const void *src, size_t n)
{
    uint32_t             f32[BLOCK];
    unsigned char       *d = dst;
    const unsigned char *s = src;
    if (n == 0) return;
    if (dst_dtype == src_dtype) {
        memcpy(dst, src, n * size_of(dst_dtype));
        return;
    }
    if (src_dtype == FIL_F32) {
        store_of(set, dst_dtype)(dst, src, n);
        return;
    }
    const fili_convert_fn load = load_of(set, src_dtype, dst_dtype == FIL_F32);
    if (dst_dtype == FIL_F32) {
        load(dst, src, n);
        return;
    }
    const fili_convert_fn store    = store_of(set, dst_dtype);
    const size_t          dst_size = size_of(dst_dtype);
    const size_t          src_size = size_of(src_dtype);
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        load(f32, s + i * src_size, m);
        store(d + i * dst_size, f32, m);
    }
}

static fil_status check_dtypes(fil_ctx *ctx, fil_dtype dst, fil_dtype src)
{
    if (!fili_convert_has(dst) || !fili_convert_has(src))
        return FIL_FAIL(ctx, FIL_E_UNSUP,
                        "no conversion from %s to %s; F64, F32, BF16, F16 and F8_E4M3 have them",
                        fil_dtype_name(src), fil_dtype_name(dst));
    return FIL_OK;
}

fil_status fili_convert(fil_ctx *ctx, fil_dtype dst_dtype, void *dst, fil_dtype src_dtype,
                        const void *src, int64_t n)
{
    FIL_TRY(check_dtypes(ctx, dst_dtype, src_dtype));
    FIL_CHECK(ctx, n >= 0 && (uint64_t)n <= SIZE_MAX / 8, "convert: %lld elements", (long long)n);
    fili_convert_row(fili_convert_select(ctx->isa), dst_dtype, dst, src_dtype, src, (size_t)n);
    return FIL_OK;
}

/* ---- strided -------------------------------------------------------------------------------- */

/* Both views over the same reduced shape; strides in bytes. The last dimension is the row. */
typedef struct walk {
    uint32_t rank;
    int64_t  shape[FIL_MAX_RANK];
    int64_t  dst_step[FIL_MAX_RANK], src_step[FIL_MAX_RANK];
    size_t   dst_size, src_size;
} walk;

/* True if dimension i of both views runs on where `row`, the last of w, ends: one longer row. */
static bool continues(const walk *w, uint32_t row, int64_t dst_step, int64_t src_step)
{
    int64_t dst_span;
    int64_t src_span;
    return fili_mul_i64(w->dst_step[row], w->shape[row], &dst_span) &&
           fili_mul_i64(w->src_step[row], w->shape[row], &src_span) && dst_span == dst_step &&
           src_span == src_step;
}

/* Drops dimensions of size 1 and joins neighbours that run on in both views, so that rows are as
 * long as can be. Fills w from the last dimension inwards: w's dimension 0 is the row. */
static walk reduce(const fili_view *dst, const fili_view *src)
{
    walk w = {.rank = 0, .dst_size = size_of(dst->dtype), .src_size = size_of(src->dtype)};
    for (uint32_t i = dst->rank; i-- > 0;) {
        if (dst->shape[i] == 1) continue;
        const int64_t dst_step = dst->stride[i] * (int64_t)w.dst_size;
        const int64_t src_step = src->stride[i] * (int64_t)w.src_size;
        if (w.rank > 0 && continues(&w, w.rank - 1, dst_step, src_step)) {
            w.shape[w.rank - 1] *= dst->shape[i];
            continue;
        }
        w.shape[w.rank]    = dst->shape[i];
        w.dst_step[w.rank] = dst_step;
        w.src_step[w.rank] = src_step;
        w.rank++;
    }
    if (w.rank == 0) { /* one element */
        w.rank        = 1;
        w.shape[0]    = 1;
        w.dst_step[0] = (int64_t)w.dst_size;
        w.src_step[0] = (int64_t)w.src_size;
    }
    return w;
}

/* n elements of `size` bytes, a constant where this is inlined, from one step to another. */
static inline void move_sized(unsigned char *dst, int64_t dst_step, const unsigned char *src,
                              int64_t src_step, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++)
        memcpy(dst + (int64_t)i * dst_step, src + (int64_t)i * src_step, size);
}

static void move(unsigned char *dst, int64_t dst_step, const unsigned char *src, int64_t src_step,
                 size_t n, size_t size)
{
    switch (size) {
    case 1: move_sized(dst, dst_step, src, src_step, n, 1); break;
    case 2: move_sized(dst, dst_step, src, src_step, n, 2); break;
    case 4: move_sized(dst, dst_step, src, src_step, n, 4); break;
    default: move_sized(dst, dst_step, src, src_step, n, 8); break;
    }
}

/* One row. A side that is not dense passes through a block of its own. */
static void convert_row(const fili_convert_set *set, const walk *w, fil_dtype dst_dtype,
                        unsigned char *dst, fil_dtype src_dtype, const unsigned char *src)
{
    unsigned char from[BLOCK * 8];
    unsigned char to[BLOCK * 8];
    const int64_t dst_step  = w->dst_step[0];
    const int64_t src_step  = w->src_step[0];
    const int64_t dst_size  = (int64_t)w->dst_size;
    const int64_t src_size  = (int64_t)w->src_size;
    const int64_t n         = w->shape[0];
    const bool    dst_dense = dst_step == dst_size || n == 1;
    const bool    src_dense = src_step == src_size || n == 1;
    const int64_t block     = dst_dense && src_dense ? n : BLOCK;
    for (int64_t i = 0; i < n; i += block) {
        const size_t         m = (size_t)(n - i < block ? n - i : block);
        unsigned char       *d = dst + i * dst_step;
        const unsigned char *s = src + i * src_step;
        if (!src_dense) move(from, src_size, s, src_step, m, w->src_size);
        fili_convert_row(set, dst_dtype, dst_dense ? d : to, src_dtype, src_dense ? s : from, m);
        if (!dst_dense) move(d, dst_step, to, dst_size, m, w->dst_size);
    }
}

static fil_status check_views(fil_ctx *ctx, const fili_view *dst, const fili_view *src)
{
    fili_extent unused;
    FIL_TRY(check_dtypes(ctx, dst->dtype, src->dtype));
    FIL_TRY(fili_view_extent(ctx, dst, &unused));
    FIL_TRY(fili_view_extent(ctx, src, &unused));
    if (dst->rank != src->rank)
        return FIL_FAIL(ctx, FIL_E_SHAPE, "convert: ranks %u and %u differ", dst->rank, src->rank);
    for (uint32_t i = 0; i < dst->rank; i++) {
        if (dst->shape[i] != src->shape[i])
            return FIL_FAIL(ctx, FIL_E_SHAPE, "convert: dimension %u is %lld and %lld", i,
                            (long long)dst->shape[i], (long long)src->shape[i]);
        FIL_CHECK(ctx, dst->shape[i] <= 1 || dst->stride[i] != 0,
                  "convert: dimension %u of the destination has stride 0", i);
    }
    return FIL_OK;
}

fil_status fili_convert_view(fil_ctx *ctx, const fili_view *dst, const fili_view *src)
{
    FIL_TRY(check_views(ctx, dst, src));
    if (fili_view_count(dst) == 0) return FIL_OK;
    const fili_convert_set *set                 = fili_convert_select(ctx->isa);
    const walk              w                   = reduce(dst, src);
    int64_t                 index[FIL_MAX_RANK] = {0};
    unsigned char          *d                   = dst->data;
    const unsigned char    *s                   = src->data;
    for (;;) {
        convert_row(set, &w, dst->dtype, d, src->dtype, s);
        uint32_t i = 1; /* the next row: an odometer over the outer dimensions */
        while (i < w.rank && index[i] == w.shape[i] - 1) {
            d -= index[i] * w.dst_step[i];
            s -= index[i] * w.src_step[i];
            index[i++] = 0;
        }
        if (i >= w.rank) return FIL_OK;
        index[i]++;
        d += w.dst_step[i];
        s += w.src_step[i];
    }
}
