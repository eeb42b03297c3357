/* tensor/convert_sets.h: the variants that convert_base.c, convert_avx2.c and convert_avx512.c
 * define. Only convert.c, which lists them, includes this besides.
 */
#ifndef FILI_TENSOR_CONVERT_SETS_H
#define FILI_TENSOR_CONVERT_SETS_H

#include "tensor/convert.h"

extern const fili_convert_set fili_convert_base;
extern const fili_convert_set fili_convert_avx2;
extern const fili_convert_set fili_convert_avx512;

#endif
