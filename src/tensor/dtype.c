/* tensor/dtype.c: the table of element types, and checked sizes of shapes. */
#include <string.h>

#include "base/checked.h"
#include "tensor/dtype.h"

/* elements, bytes: of the shortest run that fills whole bytes. */
typedef struct dtype_row {
    fil_dtype   dtype;
    uint32_t    bits; /* of one element; 0 for block types */
    uint32_t    elements, bytes;
    const char *name;
} dtype_row;

/* 8, 16, 32 or 64 bits: one element; 4: two in one byte; 6: four in three. */
#define RUN(bits) ((bits) % 8 == 0 ? 1 : (bits) % 4 == 0 ? 2 : 4)

static const dtype_row rows[] = {
#define DTYPE_ROW(name, value, bits, text)                                                         \
    {FIL_##name, (bits), RUN(bits), RUN(bits) * (bits) / 8, (text)},
    FIL_DTYPE_LIST(DTYPE_ROW)
#undef DTYPE_ROW
#define BLOCK_ROW(name, value, elements, bytes) {FIL_##name, 0, (elements), (bytes), #name},
        FIL_BLOCK_DTYPE_LIST(BLOCK_ROW)
#undef BLOCK_ROW
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

static const dtype_row *find(fil_dtype dtype)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].dtype == dtype) return &rows[i];
    return NULL;
}

const char *fil_dtype_name(fil_dtype dtype)
{
    const dtype_row *row = find(dtype);
    return row != NULL ? row->name : "?";
}

uint32_t fil_dtype_bits(fil_dtype dtype)
{
    const dtype_row *row = find(dtype);
    return row != NULL ? row->bits : 0;
}

uint32_t fil_dtype_block(fil_dtype dtype, uint32_t *elements)
{
    const dtype_row *row = find(dtype);
    *elements            = row != NULL ? row->elements : 0;
    return row != NULL ? row->bytes : 0;
}

fil_dtype fili_dtype_from_name(const char *name, size_t bytes)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (rows[i].bits != 0 && strlen(rows[i].name) == bytes &&
            memcmp(rows[i].name, name, bytes) == 0)
            return rows[i].dtype;
    return FIL_DTYPE_NONE;
}

bool fili_shape_elements(uint32_t rank, const int64_t *shape, uint64_t *elements)
{
    uint64_t n    = 1;
    bool     zero = false;
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] < 0) return false;
        if (shape[i] == 0)
            zero = true;
        else if (!fili_mul_u64(n, (uint64_t)shape[i], &n))
            return false;
    }
    *elements = zero ? 0 : n;
    return true;
}

bool fili_shape_bytes(fil_dtype dtype, uint32_t rank, const int64_t *shape, uint64_t *bytes)
{
    uint64_t         n;
    uint64_t         total; /* bits; of block types those of the elements as F64 */
    const dtype_row *row = find(dtype);
    if (row == NULL || !fili_shape_elements(rank, shape, &n)) return false;
    if (!fili_mul_u64(n, row->bits != 0 ? row->bits : 64, &total)) return false;
    if (n % row->elements != 0) return false;
    *bytes = n / row->elements * row->bytes;
    return true;
}
