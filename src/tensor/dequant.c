/* tensor/dequant.c: picks a variant (tensor/dequant.h). */
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
