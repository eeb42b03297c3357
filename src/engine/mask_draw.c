/* engine/mask_draw.c: a mask becomes grey cells (mask_draw.h).
 *
 * In raster order a cell is the share of kept pairs between two groups of tokens. For a row of
 * cells the tokens are counted by query block, so that each block's row of the mask is walked once
 * and not once per token; then each key token adds what its block holds. All sums are whole
 * numbers.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "engine/mask_draw.h"

enum { TOKENS = 1024 /* up to so many are drawn one by one */ };

/* ---- the cells ------------------------------------------------------------------------------ */

static int32_t groups_of(int32_t n, int32_t group)
{
    return n / group + (n % group != 0);
}

/* block[order[i]] = the block that holds place i. */
static void find_blocks(const fili_mask_file *f, const fili_blocks *blocks, int32_t *block)
{
    for (int32_t b = 0; b < blocks->m; b++)
        for (int32_t i = blocks->offset[b]; i < blocks->offset[b + 1]; i++)
            block[f->order[i]] = b;
}

static fil_status take_memory(fili_mask_cells *c)
{
    const size_t n  = (size_t)c->file->n;
    const size_t mq = (size_t)c->file->q.m;
    const size_t mk = (size_t)c->file->k.m;
    size_t       words;
    if (!fili_mul_size(2, n, &words) || !fili_add_size(words, mq, &words) ||
        !fili_mul_size(words, sizeof(int32_t), &c->bytes) ||
        !fili_add_size(c->bytes, mk * sizeof(uint64_t), &c->bytes))
        return FIL_FAIL(c->ctx, FIL_E_NOMEM, "tables of a mask over %zu tokens", n);
    FIL_TRY(fili_alloc(c->ctx, c->bytes, "tables of a mask", &c->memory));
    c->pairs   = c->memory;
    c->block_q = (int32_t *)(c->pairs + mk);
    c->block_k = c->block_q + n;
    c->tokens  = c->block_k + n;
    return FIL_OK;
}

fil_status fili_mask_cells_init(fili_mask_cells *out, const fili_mask_file *file, bool raster)
{
    *out = (fili_mask_cells){
        .ctx = file->ctx, .file = file, .raster = raster, .rows = file->q.m, .columns = file->k.m};
    if (!raster) return FIL_OK;
    out->group = file->n <= TOKENS ? 1 : file->grid.w;
    out->rows = out->columns = groups_of(file->n, out->group);
    FIL_TRY(take_memory(out));
    find_blocks(file, &file->q, out->block_q);
    find_blocks(file, &file->k, out->block_k);
    memset(out->tokens, 0, (size_t)file->q.m * sizeof *out->tokens);
    return FIL_OK;
}

void fili_mask_cells_fini(fili_mask_cells *cells)
{
    if (cells->ctx == NULL) return;
    fili_free(cells->ctx, cells->memory, cells->bytes);
    *cells = (fili_mask_cells){.ctx = NULL};
}

/* ---- grey ----------------------------------------------------------------------------------- */

/* White only for nothing, black only for all. */
static uint8_t grey_of(uint64_t kept, uint64_t all)
{
    const uint64_t ink = (255 * kept + all / 2) / all;
    if (kept > 0 && ink == 0) return 254;
    if (kept < all && ink == 255) return 1;
    return (uint8_t)(255 - ink);
}

static bool bit_of(const uint32_t *row, int32_t k)
{
    return (row[k / 32] >> (k % 32) & 1u) != 0;
}

static void block_row(const fili_mask_cells *c, const fili_mask *mask, int32_t h, int32_t r,
                      uint8_t *grey)
{
    const uint32_t *row = fili_mask_row(mask, h, r);
    for (int32_t k = 0; k < c->columns; k++)
        grey[k] = bit_of(row, k) ? 0 : 255;
}

/* pairs[k] += tokens[q] for all k that row q keeps; tokens[q] is then 0 again. */
static void add_block(fili_mask_cells *c, const fili_mask *mask, int32_t h, int32_t q)
{
    const uint32_t *row = fili_mask_row(mask, h, q);
    if (c->tokens[q] == 0) return;
    for (int32_t k = 0; k < c->file->k.m; k++)
        if (bit_of(row, k)) c->pairs[k] += (uint64_t)c->tokens[q];
    c->tokens[q] = 0;
}

static int32_t group_end(const fili_mask_cells *c, int32_t group)
{
    const int64_t end = ((int64_t)group + 1) * c->group;
    return end < c->file->n ? (int32_t)end : c->file->n;
}

static void raster_row(fili_mask_cells *c, const fili_mask *mask, int32_t h, int32_t r,
                       uint8_t *grey)
{
    const int32_t begin = r * c->group;
    const int32_t end   = group_end(c, r);
    memset(c->pairs, 0, (size_t)c->file->k.m * sizeof *c->pairs);
    for (int32_t i = begin; i < end; i++)
        c->tokens[c->block_q[i]]++;
    for (int32_t i = begin; i < end; i++)
        add_block(c, mask, h, c->block_q[i]);
    for (int32_t g = 0; g < c->columns; g++) {
        const int32_t from = g * c->group;
        const int32_t to   = group_end(c, g);
        uint64_t      kept = 0;
        for (int32_t i = from; i < to; i++)
            kept += c->pairs[c->block_k[i]];
        grey[g] = grey_of(kept, (uint64_t)(end - begin) * (uint64_t)(to - from));
    }
}

void fili_mask_cells_row(fili_mask_cells *cells, const fili_mask *mask, int32_t h, int32_t r,
                         uint8_t *grey)
{
    if (cells->raster)
        raster_row(cells, mask, h, r, grey);
    else
        block_row(cells, mask, h, r, grey);
}

/* ---- small pictures ------------------------------------------------------------------------- */

/* Where part i of n things in `parts` parts begins. */
static int32_t part_begin(int32_t i, int32_t n, int32_t parts)
{
    return (int32_t)((int64_t)i * n / parts);
}

static uint64_t count_kept(const fili_mask *mask, int32_t h, const int32_t q[2], const int32_t k[2])
{
    uint64_t kept = 0;
    for (int32_t i = q[0]; i < q[1]; i++) {
        const uint32_t *row = fili_mask_row(mask, h, i);
        for (int32_t j = k[0]; j < k[1]; j++)
            kept += bit_of(row, j);
    }
    return kept;
}

void fili_mask_thumbnail(const fili_mask *mask, int32_t h, int32_t rows, int32_t columns,
                         uint8_t *rgb, size_t stride)
{
    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < columns; c++) {
            const int32_t q[2] = {part_begin(r, mask->mq, rows), part_begin(r + 1, mask->mq, rows)};
            const int32_t k[2] = {part_begin(c, mask->mk, columns),
                                  part_begin(c + 1, mask->mk, columns)};
            const uint64_t all = (uint64_t)(q[1] - q[0]) * (uint64_t)(k[1] - k[0]);
            memset(rgb + 3 * ((size_t)r * stride + (size_t)c),
                   grey_of(count_kept(mask, h, q, k), all), 3);
        }
}
