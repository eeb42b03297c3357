/* tensor/dtype.h: element types from the inside. Names and bits: filigree/file.h. */
#ifndef FILI_TENSOR_DTYPE_H
#define FILI_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "filigree/file.h"

/* As in a safetensors file, so that block types are not found. FIL_DTYPE_NONE if no dtype has that
 * name (exact case; `bytes` bytes, not NUL-terminated). */
fil_dtype fili_dtype_from_name(const char *name, size_t bytes);

/* Number of elements of a shape, checked: false if a dimension is negative or a step overflows.
 * Multiplies step by step, so that 2^32 x 2^32 x 0 is refused, not 0. */
bool fili_shape_elements(uint32_t rank, const int64_t *shape, uint64_t *elements);

/* Bytes of a dense tensor of that shape: false as above, or if it is no whole number of bytes or of
 * blocks. For a block type, 8 bytes for each element do not overflow either. */
bool fili_shape_bytes(fil_dtype dtype, uint32_t rank, const int64_t *shape, uint64_t *bytes);

#endif
