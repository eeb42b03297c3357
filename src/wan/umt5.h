/* wan/umt5.h: the UMT5 text encoder: token ids to the rows that the transformer attends to.
 *
 *   x = embedding[ids]; per layer: x += o(attn(norm1 x)); x += fc2(fc1(y) gelu(gate(y))), y = norm2
 * x rows = norm x
 *
 * RMS norms (eps 1e-6), no bias anywhere, logits q k + bias[bucket(k_pos - q_pos)][head] without
 * 1/sqrt(d), a bias table of its own in each layer, GELU in its tanh form. Specification "wan",
 * section 11. Only the real rows are computed, which is exact: padding is masked as keys and thrown
 * away as queries. Sizes come from the tensors. The residual stream, norms and attention are f32;
 * with precision BF16 the inputs of the linears are bf16. Bits are the same for any number of
 * threads. Encoder only: no decoder, no padding, no pooling.
 */
#ifndef FILI_WAN_UMT5_H
#define FILI_WAN_UMT5_H

#include "io/sha256.h"
#include "wan/weights.h"

#define FILI_UMT5_MAX_ROWS 512

typedef struct fili_umt5 fili_umt5;

typedef struct fili_umt5_config {
    int64_t vocab, dim, heads, head_dim, ffn, layers, buckets;
} fili_umt5_config;

/* Borrows w until close. precision: BF16 or F32. Weights stay where they lie if they are mapped and
 * of that type; else each one is read or converted when its turn comes, into one piece of memory
 * that all share. E_MISMATCH: a tensor is missing, left over, or of another shape; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_umt5_open(fil_ctx *ctx, fili_weights *w, fil_dtype precision,
                                        fili_umt5 **out);

/* NULL and a NULL handle are accepted; gives all memory back and sets *u to NULL. */
void fili_umt5_close(fili_umt5 **u);

/* ids[n], 1 <= n <= FILI_UMT5_MAX_ROWS; rows [n, dim]. E_ARG: an id outside the vocabulary;
 * E_NONFINITE: a NaN or infinity in the rows; E_CANCELLED; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_umt5_encode(fili_umt5 *u, const int32_t *ids, int32_t n, float *rows);

int32_t                 fili_umt5_dim(const fili_umt5 *u);
const fili_umt5_config *fili_umt5_config_of(const fili_umt5 *u);

/* Bytes that the encoding of n rows takes beside weights that stay where they lie. 0: E_NOMEM. */
uint64_t fili_umt5_bytes(const fili_umt5 *u, int32_t n);

/* Adds to h what tells whether encoding gives other bits: rows of a miniature, encoded here. About
 * a megabyte and some milliseconds. E_NOMEM, E_CANCELLED. */
FIL_MUSTCHECK fil_status fili_umt5_fingerprint(fil_ctx *ctx, fil_dtype precision, fili_sha256 *h);

/* Seconds of the last encode, by part; for benchmarks. */
typedef struct fili_umt5_times {
    double attention, linear, rest;
} fili_umt5_times;
fili_umt5_times fili_umt5_last_times(const fili_umt5 *u);

#endif
