/* tests/support/dit_reference.h: the DiT as its definition says, in f64: slow, plain, and written
 * without any of the rewrites that the library makes.
 *
 * wan.md section 2: all rows of the context are computed and attended to, tokens stay in raster
 * order, each head's softmax is written out. A mask is given per pair of tokens, or chosen as Video
 * Sparse Attention does (vsa.md 1.3 to 1.6), gate included.
 */
#ifndef TESTS_SUPPORT_DIT_REFERENCE_H
#define TESTS_SUPPORT_DIT_REFERENCE_H

#include "support/dit_make.h"

typedef struct dit_problem {
    int32_t      t, h, w;
    const float *latent;  /* [C, T, H, W] */
    const float *context; /* [n, text_dim] */
    int32_t      n;
    double       time;
    /* 1 if token k takes part in row q of self-attention, raster indices; NULL: all do. */
    int (*keeps)(void *user, int32_t layer, int32_t head, int64_t q, int64_t k);
    void *user;
    /* keep > 0: each row of cubes keeps that many, and if gated the coarse branch is added. */
    const int32_t *cube; /* [tokens] of each, raster */
    int32_t        cubes, keep, gated;
    double        *gap; /* the least distance of a kept score from one that is not; may be NULL */
} dit_problem;

/* velocity [C, T, H, W]. */
void dit_reference(const dit_made *m, const dit_problem *p, double *velocity);

/* |velocity - expected| / |expected|, of n elements. */
double dit_distance(const float *velocity, const double *expected, int64_t n);

#endif
