/* tests/kernel/attn_case.h: one attention problem with its memory: made from a seed and a shape,
 * run on a row, compared with the oracle.
 *
 * Every tensor lies in guarded memory, its gaps filled with NaN; inputs are read-only while a row
 * runs; outputs are poisoned before, and checked to be written everywhere and nowhere else. The
 * workspace has exactly the promised size, and the context's allocator fails during the run.
 * The tolerance is derived in attn_case.c.
 */
#ifndef TESTS_KERNEL_ATTN_CASE_H
#define TESTS_KERNEL_ATTN_CASE_H

#include "kernel/attention.h"
#include "kernel/check.h"

typedef enum attn_mask {
    MASK_RANDOM, /* `density` percent of the blocks */
    MASK_NULL,
    MASK_NONE,
    MASK_ONE, /* one block of each row */
    MASK_ALL
} attn_mask;

/* What the zeros mean is the plain case: dense rows of tokens, runs of 64, no tail, no sinks. */
typedef struct attn_shape {
    uint64_t  seed;
    int64_t   nq, nk;
    int32_t   heads, kv_heads, head_dim;
    fil_dtype dtype;
    int       ragged_q, ragged_k; /* runs of 1 to 64 tokens */
    attn_mask mask;
    int       density, mask_shared;
    int       tail; /* some counts are 0, their pooled rows NaN */
    int       tail_factor, count_shared;
    int32_t   n_sinks, spare_sinks; /* max_sinks - n_sinks */
    int       sinks_shared;
    int       no_lse;
    int       head_major;
    int64_t   gap;   /* elements between rows */
    int       off;   /* elements by which every tensor misses its alignment */
    int       alias; /* q, k and v are one tensor */
    double    sigma; /* of q and k; 0 = 1 */
    float     scale; /* 0 = 1/sqrt(D) */
} attn_shape;

typedef struct attn_tensor {
    check_buffer buffer;
    char        *data;
    int64_t      n, stride_n, stride_h;
    int32_t      heads;
} attn_tensor;

typedef struct attn_case {
    attn_shape        shape;
    filk_attn_problem p;
    filk_attn_args    a;
    attn_tensor       q, k, v, tail_k, tail_v, out;
    check_buffer      lse, mask, q_offset, k_offset, sinks, tail_count, tail_factor;
} attn_case;

void attn_make(attn_case *c, const attn_shape *shape);
void attn_free(attn_case *c);

double attn_get(const attn_case *c, const attn_tensor *t, int64_t token, int32_t h, int32_t d);
void   attn_set(attn_case *c, attn_tensor *t, int64_t token, int32_t h, int32_t d, double value);
/* All D elements of a token, in every head. */
void attn_set_token(attn_case *c, attn_tensor *t, int64_t token, double value);
void attn_keep(attn_case *c, int32_t h, int32_t q_block, int32_t k_block, int keep);
int  attn_keeps(const attn_case *c, int32_t h, int32_t q_block, int32_t k_block);
int  attn_block_of(const int32_t *offset, int32_t m, int64_t token);
void attn_set_sinks(attn_case *c, const int32_t *tokens, int32_t n);

/* The context with n threads; its allocator is made to fail during a run. */
fil_ctx *attn_ctx(int32_t n_threads);
/* 1 if the row takes the problem. */
int attn_takes(const filk_row *row, const attn_case *c);
/* BF16 where the row takes it, else F32. */
fil_dtype attn_dtype(const filk_row *row);

/* Byte of the workspace before the run; 0xAA, 0xFF (NaN) or 0x7F (large) in every byte. */
extern int attn_workspace_fill;

void attn_run(const filk_row *row, attn_case *c, int32_t n_threads);

typedef struct attn_worst {
    double out, lse, cosine; /* parts of the tolerance that were needed */
} attn_worst;

/* Runs on 2 threads and compares `rows` sampled rows (0 = all) with the oracle; cosine: limit of
 * the whole, or 2 where the output is next to zero by cancellation. `worst` may be NULL. */
void attn_check(const filk_row *row, attn_case *c, int64_t rows, double cosine, attn_worst *worst);
/* The same without the run: c holds the outputs, `truth` the inputs that the oracle sees. */
void   attn_compare(const filk_row *row, const attn_case *c, const attn_case *truth, int64_t rows,
                    double cosine, attn_worst *worst);
double attn_cosine(fil_dtype dtype); /* the usual limit */

/* out, then lse, without gaps: to compare runs bit for bit. Free with free(). */
unsigned char *attn_result(const attn_case *c, size_t *bytes);

/* What one element of the output may miss: cond = sum p|v|/sum p, kappa = largest scale sum |q k|
 * of a kept key. */
double attn_out_tolerance(const filk_row *row, const attn_case *c, int64_t keys, double cond,
                          double kappa);

#endif
