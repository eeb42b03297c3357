/* sparse/order_make.h: what the files of sparse/order.h share: the curve, and one maker per family.
 *
 * The curve is walked, not sorted: a descent through the octants of the 2^levels cube that the box
 * lies in, which passes over every octant outside the box. So it needs no codes and no memory, and
 * a grid with a side of 2^31 - 1 is no special case.
 */
#ifndef FILI_SPARSE_ORDER_MAKE_H
#define FILI_SPARSE_ORDER_MAKE_H

#include "sparse/order.h"

#define FILI_CURVE_LEVELS 31 /* a side has at most 31 bits */

/* How the curve lies in one octant. Slots are the words X0, X1, X2 of the encoding. */
typedef struct fili_curve_state {
    uint8_t axis[3]; /* which axis (0 = f, 1 = h, 2 = w) the slot stands for by now */
    uint8_t flip;    /* bit i: slot i runs backwards */
    uint8_t parity;  /* last digit of the Gray code above, 0 or 1 */
} fili_curve_state;

#define FILI_CURVE_ZYX ((fili_curve_state){.axis = {0, 1, 2}})
#define FILI_CURVE_XYZ ((fili_curve_state){.axis = {2, 1, 0}})

typedef struct fili_curve_node {
    fili_curve_state state;
    int32_t          next;      /* octant to look at next, 0 to 8 */
    int32_t          origin[3]; /* by axis */
} fili_curve_node;

/* A walk. The cell it stands at is `at`; `state` is how the curve would go on inside that cell. */
typedef struct fili_curve {
    int32_t          at[3];
    fili_curve_state state;
    int32_t          box[3];
    int32_t          levels;
    int32_t          depth; /* of the node in work; -1 = at the end */
    fili_curve_node  node[FILI_CURVE_LEVELS + 1];
} fili_curve;

/* Levels that a box needs: ceil(log2(longest side)), 0 for a single cell. */
int32_t fili_curve_levels(fili_grid box);

/* A walk over `box` at the corner of a cube of 2^levels cells a side. */
void fili_curve_begin(fili_curve *curve, fili_grid box, int32_t levels, fili_curve_state state);

/* Goes to the next cell; false at the end. */
bool fili_curve_next(fili_curve *curve);

/* Fills order[n]. */
void fili_make_hilbert(fili_grid grid, fili_curve_state state, int32_t *order);

/* Number of cubes along each axis. */
fili_grid fili_cube_grid(fili_grid grid, fili_grid cube);

/* Fill order[n] and piece[cubes + 1]. */
void fili_make_cubes(fili_grid grid, fili_grid cube, int32_t *order, int32_t *piece);
void fili_make_hilbert_cubes(fili_grid grid, fili_grid cube, int32_t *order, int32_t *piece);

#endif
