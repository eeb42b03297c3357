/* sparse/order_cubes.c: orders that fill one cube of the grid after the other
 * (sparse/order_make.h).
 *
 * Cubes after VSA (arXiv 2505.13389), unpadded: a cube at the border is clipped to the grid.
 */
#include "sparse/order_make.h"

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t cover(int32_t side, int32_t cube)
{
    return side / cube + (side % cube != 0);
}

fili_grid fili_cube_grid(fili_grid grid, fili_grid cube)
{
    return (fili_grid){
        .f = cover(grid.f, cube.f), .h = cover(grid.h, cube.h), .w = cover(grid.w, cube.w)};
}

/* A cube of the grid: its first token's place and what the grid leaves of it. */
typedef struct clip {
    fili_grid at, size;
} clip;

static clip clip_cube(fili_grid grid, fili_grid cube, int32_t f, int32_t h, int32_t w)
{
    const fili_grid at = {.f = f * cube.f, .h = h * cube.h, .w = w * cube.w};
    return (clip){.at   = at,
                  .size = {.f = least(cube.f, grid.f - at.f),
                           .h = least(cube.h, grid.h - at.h),
                           .w = least(cube.w, grid.w - at.w)}};
}

static int32_t raster_index(fili_grid grid, const clip *c, int32_t f, int32_t h, int32_t w)
{
    return ((c->at.f + f) * grid.h + c->at.h + h) * grid.w + c->at.w + w;
}

/* Appends one cube in raster order; returns the tokens written so far. */
static int32_t put_raster(fili_grid grid, const clip *c, int32_t *order, int32_t n)
{
    for (int32_t f = 0; f < c->size.f; f++)
        for (int32_t h = 0; h < c->size.h; h++) {
            const int32_t first = raster_index(grid, c, f, h, 0);
            for (int32_t w = 0; w < c->size.w; w++)
                order[n++] = first + w;
        }
    return n;
}

static int32_t put_curve(fili_grid grid, const clip *c, int32_t levels, fili_curve_state state,
                         int32_t *order, int32_t n)
{
    fili_curve inner;
    fili_curve_begin(&inner, c->size, levels, state);
    while (fili_curve_next(&inner))
        order[n++] = raster_index(grid, c, inner.at[0], inner.at[1], inner.at[2]);
    return n;
}

void fili_make_cubes(fili_grid grid, fili_grid cube, int32_t *order, int32_t *piece)
{
    const fili_grid cubes = fili_cube_grid(grid, cube);
    int32_t         n     = 0;
    size_t          i     = 0;
    piece[i++]            = 0;
    for (int32_t f = 0; f < cubes.f; f++)
        for (int32_t h = 0; h < cubes.h; h++)
            for (int32_t w = 0; w < cubes.w; w++) {
                const clip c = clip_cube(grid, cube, f, h, w);
                n            = put_raster(grid, &c, order, n);
                piece[i++]   = n;
            }
}

void fili_make_hilbert_cubes(fili_grid grid, fili_grid cube, int32_t *order, int32_t *piece)
{
    /* A cube is never longer than the grid here, else the curve would start some levels higher and
     * lie another way round than `hilbert` does on the same grid. */
    const fili_grid side = {
        .f = least(cube.f, grid.f), .h = least(cube.h, grid.h), .w = least(cube.w, grid.w)};
    const fili_grid cubes  = fili_cube_grid(grid, side);
    const int32_t   levels = fili_curve_levels(side);
    fili_curve      outer;
    int32_t         n = 0;
    size_t          i = 0;
    piece[i++]        = 0;
    fili_curve_begin(&outer, cubes, fili_curve_levels(cubes), FILI_CURVE_ZYX);
    while (fili_curve_next(&outer)) {
        const clip c = clip_cube(grid, side, outer.at[0], outer.at[1], outer.at[2]);
        n            = put_curve(grid, &c, levels, outer.state, order, n);
        piece[i++]   = n;
    }
}
