/* tensor/dequant.c: picks a variant, and rows of any type (tensor/dequant.h). */
#include "tensor/convert.h"
#include "tensor/dequant_sets.h"

const fili_dequant_variant fili_dequant_variants[] = {
#define FILI_DEQUANT(isa, set) {(isa), &(set)},
#include "tensor/dequant.inc"
#undef FILI_DEQUANT
};

const size_t fili_n_dequant_variants =
    sizeof fili_dequant_variants / sizeof fili_dequant_variants[0];

bool fili_dequant_has(fil_dtype dtype)
{
    return dtype >= FIL_Q4_0 && dtype <= FIL_Q6_K;
}

fili_dequant_fn fili_dequant_of(const fili_dequant_set *set, fil_dtype dtype)
{
    return fili_dequant_has(dtype) ? set->type[dtype - FIL_Q4_0] : NULL;
}

fili_dequant_fn fili_dequant_select(fili_isa isa, fil_dtype dtype)
{
    size_t i = 0;
    while (!fili_isa_has(isa, fili_dequant_variants[i].needs))
        i++; /* ends: everything has FILI_ISA_REF */
    return fili_dequant_of(fili_dequant_variants[i].set, dtype);
}

void fili_dequant_row(fili_isa isa, fil_dtype dst_dtype, void *dst, fil_dtype src_dtype,
                      const void *src, int64_t n)
{
    const fili_convert_set *set     = fili_convert_select(isa);
    const fili_dequant_fn   dequant = fili_dequant_select(isa, src_dtype);
    const unsigned char    *from    = src;
    char                   *to      = dst;
    float                   wide[FILI_BLOCK_MOST];
    uint32_t                block;
    if (dequant == NULL) {
        fili_convert_row(set, dst_dtype, dst, src_dtype, src, (size_t)n);
        return;
    }
    const size_t size = fil_dtype_block(src_dtype, &block);
    while (n > 0) {
        const size_t count = n < FILI_BLOCK_MOST ? (size_t)n : FILI_BLOCK_MOST;
        dequant(wide, from, count / block);
        fili_convert_row(set, dst_dtype, to, FIL_F32, wide, count);
        from += count / block * size;
        to += count * (fil_dtype_bits(dst_dtype) / 8);
        n -= (int64_t)count;
    }
}
