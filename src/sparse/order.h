/* sparse/order.h: in which sequence the tokens of a video grid stand.
 *
 * An order is a permutation of the N = f*h*w tokens, made once per grid. Raster order (w fastest)
 * is how tokens come in and go out; the others put tokens that are close in the video close in the
 * sequence, so that a run of 64 is a compact piece of it.
 *
 *   - raster: w fastest, then h, then f
 *   - hilbert: 3D Hilbert curve, frame axis first
 *   - hilbert-xyz: the same curve with the axes the other way round, as DFSAttn published it
 *   - cubes TxHxW: cubes in raster order, raster inside
 *   - hilbert-cubes TxHxW: cubes along the curve, which goes on inside each
 *
 * Nothing is padded: a cube at the border holds what the grid leaves of it. hilbert-cubes 4x4x4 is
 * the sequence of `hilbert` on every grid, cut at the borders of the cubes.
 */
#ifndef FILI_SPARSE_ORDER_H
#define FILI_SPARSE_ORDER_H

#include "base/ctx.h"

/* Token counts of the video after patching. */
typedef struct fili_grid {
    int32_t f, h, w;
} fili_grid;

typedef enum fili_order_kind {
    FILI_ORDER_RASTER,
    FILI_ORDER_HILBERT,
    FILI_ORDER_HILBERT_XYZ,
    FILI_ORDER_CUBES,
    FILI_ORDER_HILBERT_CUBES
} fili_order_kind;

typedef struct fili_order_spec {
    fili_order_kind kind;
    fili_grid       cube; /* sides of a cube; 0,0,0 for the orders without cubes */
} fili_order_spec;

typedef struct fili_order {
    fil_ctx        *ctx;
    fili_order_spec spec;
    fili_grid       grid;
    int32_t         n;        /* tokens */
    int32_t        *order;    /* [n] raster index of the i-th token */
    int32_t        *inverse;  /* [n] place of a raster index: inverse[order[i]] = i */
    int32_t         n_pieces; /* cubes; 1 for the orders without */
    int32_t        *piece;    /* [n_pieces + 1] where each begins in the sequence; rising */
} fili_order;

/* Longest name, with its NUL: "hilbert-cubes " and three sides of ten digits. */
#define FILI_ORDER_NAME 48

/* Number of tokens. E_ARG: a side below 1; E_LIMIT: more than 2^31 - 1 tokens. */
FIL_MUSTCHECK fil_status fili_grid_tokens(fil_ctx *ctx, fili_grid grid, int32_t *n);

/* A grid from "f,h,w": sides of 1 to 2^31 - 1 without leading zeros, no spaces. E_ARG. */
FIL_MUSTCHECK fil_status fili_grid_parse(fil_ctx *ctx, const char *text, fili_grid *out);

/* The order with that name, exactly as listed above: lower case, one space, sides of 1 to 2^31 - 1
 * without leading zeros. E_ARG. */
FIL_MUSTCHECK fil_status fili_order_parse(fil_ctx *ctx, const char *name, fili_order_spec *out);

/* The same without a message; false if there is no such order. */
bool fili_order_known(const char *name, fili_order_spec *out);

/* The name that parses to `spec`. */
void fili_order_name(const fili_order_spec *spec, char name[FILI_ORDER_NAME]);

/* Makes the permutation, its inverse and its pieces in O(N) steps. A cube may be larger than the
 * grid. E_ARG, E_LIMIT, E_NOMEM; on failure *out is empty. */
FIL_MUSTCHECK fil_status fili_order_init(fili_order *out, fil_ctx *ctx, fili_grid grid,
                                         const fili_order_spec *spec);

/* Idempotent; a zeroed order is accepted. */
void fili_order_fini(fili_order *order);

/* inverse[order[i]] = i. E_ARG if order[0..n) is not a permutation of 0..n-1, and where not;
 * inverse is then undefined. */
FIL_MUSTCHECK fil_status fili_order_invert(fil_ctx *ctx, const int32_t *order, int32_t n,
                                           int32_t *inverse);

#endif
