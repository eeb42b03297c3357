/* tensor/dequant.h: blocks of GGUF files turned into F32 (filigree/file.h lists the block types).
 *
 * Layouts: those of ggml, which are permanent (specification "wan", section 17.3). Scales and
 * smallest values are F16. Each value is computed in F32, every product and difference rounded
 * once and in the order of the reference (gguf-py), so that the result has its bits. All variants
 * give the same bits, but for which NaN comes of scales that are no numbers: those are not judged.
 */
#ifndef FILI_TENSOR_DEQUANT_H
#define FILI_TENSOR_DEQUANT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cpu.h"
#include "filigree/file.h"

/* The most elements that a block has; every other number of them divides it. */
#define FILI_BLOCK_MOST 256

/* True for the block types. */
bool fili_dequant_has(fil_dtype dtype);

/* `blocks` whole blocks of any alignment; dst holds all their elements and overlaps nothing. */
typedef void (*fili_dequant_fn)(float *dst, const unsigned char *src, size_t blocks);

/* n elements in whole blocks, of a block type or one of convert.h's, as one of convert.h's; each
 * value is rounded once, those of blocks from F32. Any alignment; dst and src overlap nothing. */
void fili_dequant_row(fili_isa isa, fil_dtype dst_dtype, void *dst, fil_dtype src_dtype,
                      const void *src, int64_t n);

/* ---- variants ------------------------------------------------------------------------------- */

/* In the order of FIL_BLOCK_DTYPE_LIST. */
typedef struct fili_dequant_set {
    fili_dequant_fn type[10];
} fili_dequant_set;

typedef struct fili_dequant_variant {
    fili_isa                needs;
    const fili_dequant_set *set;
} fili_dequant_variant;

/* The sets of this build from the most to the least demanding; the last one runs anywhere. */
extern const fili_dequant_variant fili_dequant_variants[];
extern const size_t               fili_n_dequant_variants;

/* The loop for a block type in the first set that runs at level `isa`; NULL for another type. */
fili_dequant_fn fili_dequant_select(fili_isa isa, fil_dtype dtype);

/* The loop of one set. NULL as above. */
fili_dequant_fn fili_dequant_of(const fili_dequant_set *set, fil_dtype dtype);

#endif
