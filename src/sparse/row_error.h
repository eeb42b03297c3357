/* sparse/row_error.h: what each of two masks would change in the output, on a few rows.
 *
 *     error[i][h] = sum over the rows r, channels d of (out_i - out)^2
 *
 * with out the dense output of row r and head h, and out_i what it is under mask i. Scores are made
 * once: the keys fall into four classes by the two masks, each with its own softmax sums, and every
 * output is a sum of classes. Costs n_rows / N of dense attention, in f32; for a choice between two
 * masks at run time, not for reports.
 */
#ifndef FILI_SPARSE_ROW_ERROR_H
#define FILI_SPARSE_ROW_ERROR_H

#include "kernel/attention.h"
#include "sparse/mask.h"

typedef struct fili_row_error_args {
    const fili_blocks *blocks;          /* of queries and keys */
    int32_t            heads, head_dim; /* head_dim 64 or 128 */
    fil_dtype          dtype;           /* of q, k, v: BF16 or F32 */
    filk_attn_view     q, k, v;         /* [N, heads, head_dim] */
    float              scale;
    const int32_t     *rows; /* [n_rows] tokens of the order */
    int32_t            n_rows;
    const fili_mask   *mask[2];
} fili_row_error_args;

/* Bytes of workspace, saturating. */
size_t fili_row_error_workspace(int32_t n_threads, int32_t heads, int32_t n_rows);

/* error[2 * heads], mask 0 first. A row without any key is out 0. A NaN or inf in a row, or a NaN
 * in what it sees, makes the errors of its head NaN. The same bits for any number of threads. */
FIL_MUSTCHECK fil_status fili_row_error(fil_ctx *ctx, const fili_row_error_args *args,
                                        void *workspace, double *error);

/* n rows of n_tokens, one at a random place in each of n equal stretches, rising; `stream` draws
 * others. 1 <= n <= n_tokens. */
void fili_sample_rows(int32_t n_tokens, int32_t n, uint64_t stream, int32_t *rows);

#endif
