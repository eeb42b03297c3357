/* kernel/cpu/linear_finish.c: from a tile of sums to the result (linear_finish.h). */
#include "kernel/cpu/linear_finish.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"

const char *filk_linear_refuse_other(const filk_linear_problem *p, fil_dtype dtype)
{
    if (p->dtype != dtype) return dtype == FIL_BF16 ? "takes bf16 only" : "takes f32 only";
    if (p->out_dtype != FIL_BF16 && p->out_dtype != FIL_F32) return "writes bf16 and f32 only";
    if (p->bias_dtype != FIL_DTYPE_NONE && p->bias_dtype != FIL_BF16 && p->bias_dtype != FIL_F32)
        return "takes a bias in bf16 or f32 only";
    if (p->any_weight && p->packed) return "packs weights of its own type only";
    return p->k > INT32_MAX ? "takes rows below 2^31 elements" : NULL;
}

fil_status filk_linear_check_weight(fil_ctx *ctx, const filk_linear_problem *p,
                                    const filk_linear_args *a)
{
    uint32_t block;
    (void)fil_dtype_block(a->weight_dtype, &block);
    if ((fili_convert_has(a->weight_dtype) || fili_dequant_has(a->weight_dtype)) &&
        p->k % block == 0)
        return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_INTERNAL, "linear: rows of %lld elements of type %s",
                    (long long)p->k, fil_dtype_name(a->weight_dtype));
}

void filk_linear_convert(const filk_linear_problem *p, fili_isa isa, const filk_linear_args *a,
                         fili_range n, void *to)
{
    uint32_t      block;
    const int64_t size  = fil_dtype_block(a->weight_dtype, &block);
    const int64_t pitch = p->k / block * size;
    const char   *src   = (const char *)a->weight + n.begin * pitch;
    char         *dst   = to;
    for (int64_t i = n.begin; i < n.end; i++, src += pitch) {
        fili_dequant_row(isa, p->dtype, dst, a->weight_dtype, src, p->k);
        dst += p->k * (int64_t)(fil_dtype_bits(p->dtype) / 8);
    }
}

static const float *bias_of(const filk_linear_problem *p, const void *bias, fili_range n,
                            float widened[FILK_LINEAR_WIDE])
{
    if (p->bias_dtype == FIL_DTYPE_NONE) return NULL;
    if (p->bias_dtype == FIL_F32) return (const float *)bias + n.begin;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, widened, FIL_BF16,
                     (const uint16_t *)bias + n.begin, (size_t)(n.end - n.begin));
    return widened;
}

void filk_linear_finish(const filk_linear_problem *p, const filk_linear_args *a, filk_tile_fn tile,
                        const filk_linear_sums *sums, fili_range m, fili_range n)
{
    float         widened[FILK_LINEAR_WIDE];
    const int64_t out_size = p->out_dtype == FIL_BF16 ? 2 : 4;
    char         *out      = (char *)a->out + (m.begin * a->out_stride + n.begin) * out_size;
    filk_tile     t        = {.acc             = sums->at,
                              .acc_stride      = sums->stride,
                              .panel           = sums->panel,
                              .panel_stride    = sums->panel_stride,
                              .rows            = m.end - m.begin,
                              .cols            = n.end - n.begin,
                              .act             = p->act,
                              .bias            = bias_of(p, a->bias, n, widened),
                              .residual_dtype  = FIL_F32,
                              .residual_stride = a->residual_stride,
                              .out             = out,
                              .out_dtype       = p->out_dtype,
                              .out_stride      = a->out_stride};
    if (a->gate != NULL) t.gate = a->gate + n.begin;
    if (a->residual != NULL) t.residual = a->residual + m.begin * a->residual_stride + n.begin;
    tile(&t);
}
