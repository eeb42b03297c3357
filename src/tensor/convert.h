/* tensor/convert.h: elements from one floating-point type to another: F64, F32, BF16, F16, F8_E4M3,
 * all 25 pairs.
 *
 * One rounding, to nearest, ties to even: F64 to 16 or 8 bits is not rounded to F32 on its way.
 *   - Zero keeps its sign; subnormals are exact or correctly rounded, never flushed.
 *   - Infinity stays, and what is too large becomes infinity. F8_E4M3 has none: both become NaN
 *     (0x7f, 0xff), as in the OCP 8-bit specification's non-saturating mode and in torch. Up to 464
 *     rounds to 448, the largest.
 *   - NaN stays NaN, with its sign. A change of type makes it quiet and keeps the top bits of the
 *     payload that fit. F8_E4M3 has one NaN per sign: read as payload 0, and any NaN becomes it.
 *   - The same type on both sides copies bytes.
 * All variants give the same bits. The floating-point environment is the default one: to nearest,
 * no flush to zero. Data may have any alignment; source and destination must not overlap.
 */
#ifndef FILI_TENSOR_CONVERT_H
#define FILI_TENSOR_CONVERT_H

#include "tensor/view.h"

/* n elements, one after the other. E_ARG: n < 0; E_UNSUP: a type that is none of the five.
 * Runs on the calling thread and touches ctx only to fail: tasks of a pool use fili_convert_row. */
FIL_MUSTCHECK fil_status fili_convert(fil_ctx *ctx, fil_dtype dst_dtype, void *dst,
                                      fil_dtype src_dtype, const void *src, int64_t n);

/* Every element of src to the same index of dst, which is written. E_SHAPE: shapes differ; E_ARG: a
 * stride of dst is 0; E_UNSUP as above. */
FIL_MUSTCHECK fil_status fili_convert_view(fil_ctx *ctx, const fili_view *dst,
                                           const fili_view *src);

/* ---- variants, for tests, benchmarks and tasks ---------------------------------------------- */

/* Loads make F32 of another type, stores make another type of F32; n elements, any alignment. */
typedef void (*fili_convert_fn)(void *dst, const void *src, size_t n);

typedef struct fili_convert_set {
    fili_convert_fn load_bf16, load_f16, load_f8, load_f64;
    fili_convert_fn load_f64_odd; /* rounds to odd: what is rounded again comes out right */
    fili_convert_fn store_f64, store_bf16, store_f16, store_f8;
} fili_convert_set;

/* The sets of this build from the most to the least demanding; the last one runs anywhere. */
typedef struct fili_convert_variant {
    fili_isa                needs;
    const fili_convert_set *set;
} fili_convert_variant;

extern const fili_convert_variant fili_convert_variants[];
extern const size_t               fili_n_convert_variants;

/* The first set that runs at level `isa`. */
const fili_convert_set *fili_convert_select(fili_isa isa);

/* True for the five types above. */
bool fili_convert_has(fil_dtype dtype);

/* fili_convert with a chosen set; the types are among the five. */
void fili_convert_row(const fili_convert_set *set, fil_dtype dst_dtype, void *dst,
                      fil_dtype src_dtype, const void *src, size_t n);

#endif
