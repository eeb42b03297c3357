/* sparse/order.c: names of orders, and a permutation with inverse and pieces (sparse/order.h).
 * The sequences themselves: order_hilbert.c, order_cubes.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "sparse/order_make.h"

static const char *const kind_names[] = {"raster", "hilbert", "hilbert-xyz", "cubes",
                                         "hilbert-cubes"};

fil_status fili_grid_tokens(fil_ctx *ctx, fili_grid grid, int32_t *n)
{
    uint64_t fh;
    uint64_t fhw;
    *n = 0;
    FIL_CHECK(ctx, grid.f >= 1 && grid.h >= 1 && grid.w >= 1,
              "grid is %d,%d,%d; expected three sides of at least 1", grid.f, grid.h, grid.w);
    if (!fili_mul_u64((uint64_t)grid.f, (uint64_t)grid.h, &fh) ||
        !fili_mul_u64(fh, (uint64_t)grid.w, &fhw) || fhw > INT32_MAX)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "grid %d,%d,%d has more than %d tokens", grid.f, grid.h,
                        grid.w, INT32_MAX);
    *n = (int32_t)fhw;
    return FIL_OK;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* A decimal number from 1 to 2^31 - 1 without leading zeros; moves *text behind it. */
static bool parse_side(const char **text, int32_t *side)
{
    const char *p     = *text;
    int64_t     value = 0;
    if (*p < '1' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (*p - '0');
        if (value > INT32_MAX) return false;
    }
    *text = p;
    *side = (int32_t)value;
    return true;
}

static bool parse_sides(const char *text, char between, fili_grid *out)
{
    return parse_side(&text, &out->f) && *text++ == between && parse_side(&text, &out->h) &&
           *text++ == between && parse_side(&text, &out->w) && *text == '\0';
}

fil_status fili_grid_parse(fil_ctx *ctx, const char *text, fili_grid *out)
{
    fili_grid grid;
    *out = (fili_grid){0};
    FIL_CHECK(ctx, text != NULL, "the grid is NULL");
    FIL_CHECK(ctx, parse_sides(text, ',', &grid),
              "grid '%s': expected 'f,h,w', three numbers of 1 to %d, as in '21,30,52'",
              fili_quote(text, strlen(text)).text, INT32_MAX);
    *out = grid;
    return FIL_OK;
}

static bool has_cubes(fili_order_kind kind)
{
    return kind == FILI_ORDER_CUBES || kind == FILI_ORDER_HILBERT_CUBES;
}

/* The kind whose name is the first word; -1 if there is none. *rest: what follows the word. */
static int find_kind(const char *name, const char **rest)
{
    const size_t word = strcspn(name, " ");
    *rest             = name + word;
    for (int k = FILI_ORDER_RASTER; k <= FILI_ORDER_HILBERT_CUBES; k++)
        if (strlen(kind_names[k]) == word && memcmp(name, kind_names[k], word) == 0) return k;
    return -1;
}

static bool parse_rest(fili_order_kind kind, const char *rest, fili_grid *cube)
{
    *cube = (fili_grid){0};
    if (!has_cubes(kind)) return *rest == '\0';
    return *rest == ' ' && parse_sides(rest + 1, 'x', cube);
}

bool fili_order_known(const char *name, fili_order_spec *out)
{
    const char *rest;
    const int   kind = find_kind(name, &rest);
    fili_grid   cube;
    if (kind < 0 || !parse_rest((fili_order_kind)kind, rest, &cube)) return false;
    *out = (fili_order_spec){.kind = (fili_order_kind)kind, .cube = cube};
    return true;
}

fil_status fili_order_parse(fil_ctx *ctx, const char *name, fili_order_spec *out)
{
    const char *rest;
    *out = (fili_order_spec){0};
    FIL_CHECK(ctx, name != NULL, "the name of the order is NULL");
    if (fili_order_known(name, out)) return FIL_OK;
    const fili_quoted quoted = fili_quote(name, strlen(name));
    const int         kind   = find_kind(name, &rest);
    FIL_CHECK(ctx, kind >= 0,
              "order '%s' does not exist; expected raster, hilbert, hilbert-xyz, 'cubes TxHxW' or "
              "'hilbert-cubes TxHxW'",
              quoted.text);
    FIL_CHECK(ctx, has_cubes((fili_order_kind)kind), "order '%s': nothing may follow '%s'",
              quoted.text, kind_names[kind]);
    return FIL_FAIL(ctx, FIL_E_ARG,
                    "order '%s': expected '%s TxHxW' with three sides of 1 to %d, as in '%s 4x4x4'",
                    quoted.text, kind_names[kind], INT32_MAX, kind_names[kind]);
}

void fili_order_name(const fili_order_spec *spec, char name[FILI_ORDER_NAME])
{
    const char *kind = kind_names[spec->kind];
    if (has_cubes(spec->kind))
        snprintf(name, FILI_ORDER_NAME, "%s %dx%dx%d", kind, spec->cube.f, spec->cube.h,
                 spec->cube.w);
    else
        snprintf(name, FILI_ORDER_NAME, "%s", kind);
}

/* ---- the permutation ------------------------------------------------------------------------ */

static fil_status check_spec(fil_ctx *ctx, const fili_order_spec *s)
{
    FIL_CHECK(ctx, (int)s->kind >= FILI_ORDER_RASTER && s->kind <= FILI_ORDER_HILBERT_CUBES,
              "order kind is %d; expected 0 to %d", (int)s->kind, FILI_ORDER_HILBERT_CUBES);
    FIL_CHECK(ctx, !has_cubes(s->kind) || (s->cube.f >= 1 && s->cube.h >= 1 && s->cube.w >= 1),
              "cube is %dx%dx%d; expected three sides of at least 1", s->cube.f, s->cube.h,
              s->cube.w);
    return FIL_OK;
}

/* Cubes are counted by the same limit as tokens: there are never more of them. */
static int32_t count_pieces(fili_grid grid, const fili_order_spec *spec)
{
    if (!has_cubes(spec->kind)) return 1;
    const fili_grid cubes = fili_cube_grid(grid, spec->cube);
    return cubes.f * cubes.h * cubes.w;
}

static fil_status alloc_i32(fil_ctx *ctx, size_t count, int32_t **out)
{
    size_t bytes;
    void  *block;
    *out = NULL;
    if (!fili_mul_size(count, sizeof **out, &bytes))
        return FIL_FAIL(ctx, FIL_E_NOMEM, "order: %zu entries exceed the address space", count);
    FIL_TRY(fili_alloc(ctx, bytes, "order", &block));
    *out = block;
    return FIL_OK;
}

static void make(fili_order *o)
{
    o->piece[0] = 0;
    o->piece[1] = o->n;
    switch (o->spec.kind) {
    case FILI_ORDER_HILBERT: fili_make_hilbert(o->grid, FILI_CURVE_ZYX, o->order); break;
    case FILI_ORDER_HILBERT_XYZ: fili_make_hilbert(o->grid, FILI_CURVE_XYZ, o->order); break;
    case FILI_ORDER_CUBES: fili_make_cubes(o->grid, o->spec.cube, o->order, o->piece); break;
    case FILI_ORDER_HILBERT_CUBES:
        fili_make_hilbert_cubes(o->grid, o->spec.cube, o->order, o->piece);
        break;
    case FILI_ORDER_RASTER:
        for (int32_t i = 0; i < o->n; i++)
            o->order[i] = i;
        break;
    }
    for (int32_t i = 0; i < o->n; i++)
        o->inverse[o->order[i]] = i;
}

fil_status fili_order_init(fili_order *out, fil_ctx *ctx, fili_grid grid,
                           const fili_order_spec *spec)
{
    fil_status status;
    int32_t    n;
    *out = (fili_order){.ctx = ctx};
    FIL_TRY(fili_grid_tokens(ctx, grid, &n));
    FIL_TRY(check_spec(ctx, spec));
    *out = (fili_order){
        .ctx = ctx, .spec = *spec, .grid = grid, .n = n, .n_pieces = count_pieces(grid, spec)};
    if (!has_cubes(spec->kind)) out->spec.cube = (fili_grid){0};
    FIL_TRY_OR(fail, alloc_i32(ctx, (size_t)n, &out->order));
    FIL_TRY_OR(fail, alloc_i32(ctx, (size_t)n, &out->inverse));
    FIL_TRY_OR(fail, alloc_i32(ctx, (size_t)out->n_pieces + 1, &out->piece));
    make(out);
    return FIL_OK;
fail:
    fili_order_fini(out);
    return status;
}

void fili_order_fini(fili_order *order)
{
    fil_ctx *ctx = order->ctx;
    fili_free(ctx, order->order, (size_t)order->n * sizeof *order->order);
    fili_free(ctx, order->inverse, (size_t)order->n * sizeof *order->inverse);
    fili_free(ctx, order->piece, ((size_t)order->n_pieces + 1) * sizeof *order->piece);
    *order = (fili_order){.ctx = ctx};
}

fil_status fili_order_invert(fil_ctx *ctx, const int32_t *order, int32_t n, int32_t *inverse)
{
    for (int32_t i = 0; i < n; i++)
        inverse[i] = -1;
    for (int32_t i = 0; i < n; i++) {
        const int32_t token = order[i];
        FIL_CHECK(ctx, token >= 0 && token < n, "order[%d] is %d; expected 0 to %d", i, token,
                  n - 1);
        FIL_CHECK(ctx, inverse[token] < 0, "order names token %d twice, at %d and at %d", token,
                  inverse[token], i);
        inverse[token] = i;
    }
    return FIL_OK;
}
