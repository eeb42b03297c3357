/* tests/support/dit_make.h: a small DiT with random weights, in memory or as a file, right or with
 * one thing wrong.
 */
#ifndef TESTS_SUPPORT_DIT_MAKE_H
#define TESTS_SUPPORT_DIT_MAKE_H

#include "wan/dit.h"

typedef struct dit_made {
    fili_dit_config   config;
    int32_t           n;
    fili_made_tensor *tensors; /* [n] F32, values exact in bf16 */
    char (*names)[64];
} dit_made;

/* Two heads of 64, two layers, text_len 40; nothing is left at its usual initial value. */
fili_dit_config dit_small_config(void);

void dit_make(dit_made *m, const fili_dit_config *config, uint64_t seed);
void dit_free(dit_made *m);

/* The values of a tensor; fails the test if there is none of that name. */
const float *dit_values(const dit_made *m, const char *name);

/* How a file of it is written. Zeroed: F32 under original names. */
typedef struct dit_file {
    fil_dtype   dtype;     /* of all tensors; 0: F32 */
    const char *prefix;    /* before each name; NULL: none */
    const char *left_out;  /* this tensor is not written */
    const char *added;     /* one more tensor of this name, F32 [3] */
    const char *reshaped;  /* this tensor gets a further dimension of 1 */
    const char *retyped;   /* this tensor is written as I32 */
    int         diffusers; /* 1: under the names of diffusers, as FastVideo publishes */
    int         scaled;    /* 1: fp8_scaled: 2-D weights F8_E4M3 with a scale_weight of 0.5 */
} dit_file;

void dit_write(const dit_made *m, fil_ctx *ctx, const char *path, const dit_file *how);

#endif
