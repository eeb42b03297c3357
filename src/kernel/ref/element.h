/* kernel/ref/element.h: one element of a tensor in f64, for the references that read any dtype.
 * Not for speed: attention and block mass, which read far more, widen bf16 and f32 themselves.
 */
#ifndef FILK_REF_ELEMENT_H
#define FILK_REF_ELEMENT_H

#include "tensor/convert.h"

static inline double filk_ref_element(fil_dtype dtype, const void *data, int64_t at)
{
    double        v;
    const char   *p    = data;
    const int64_t size = (int64_t)fil_dtype_bits(dtype) / 8;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F64, &v, dtype, p + at * size, 1);
    return v;
}

#endif
