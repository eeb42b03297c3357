/* sparse/topology_transfer.c: maps on another grid (sparse/topology_transfer.h). */
#include <string.h>

#include "base/mem.h"
#include "sparse/bits.h"
#include "sparse/mask.h"
#include "sparse/topology_transfer.h"

/* ---- which base blocks a target block touches ----------------------------------------------- */

typedef struct span {
    int32_t begin, end;
} span;

/* Base cells under cell a of nt. */
static span under(int32_t a, int32_t nb, int32_t nt)
{
    const int64_t end = ((int64_t)a + 1) * nb;
    return (span){.begin = (int32_t)((int64_t)a * nb / nt),
                  .end   = (int32_t)(end / nt + (end % nt != 0))};
}

typedef struct covering {
    const fili_cover_side *base, *target;
    int32_t               *block; /* [base tokens] block of a raster index */
} covering;

static void touch(const covering *c, int32_t raster, uint32_t *row)
{
    const fili_grid b = c->base->order->grid;
    const fili_grid t = c->target->order->grid;
    const span      f = under(raster / (t.h * t.w), b.f, t.f);
    const span      h = under(raster / t.w % t.h, b.h, t.h);
    const span      w = under(raster % t.w, b.w, t.w);
    for (int32_t z = f.begin; z < f.end; z++)
        for (int32_t y = h.begin; y < h.end; y++)
            for (int32_t x = w.begin; x < w.end; x++) {
                const int32_t at = c->block[((int64_t)z * b.h + y) * b.w + x];
                row[at / 32] |= 1u << (at % 32);
            }
}

static void number_blocks(const fili_cover_side *side, int32_t *block)
{
    for (int32_t b = 0; b < side->blocks->m; b++)
        for (int32_t i = side->blocks->offset[b]; i < side->blocks->offset[b + 1]; i++)
            block[side->order->order[i]] = b;
}

static void fill(fili_cover *out, const covering *c)
{
    const fili_cover_side *t = c->target;
    for (int32_t b = 0; b < out->mt; b++) {
        uint32_t *row = out->bits + (int64_t)b * out->words;
        for (int32_t i = t->blocks->offset[b]; i < t->blocks->offset[b + 1]; i++)
            touch(c, t->order->order[i], row);
    }
}

uint64_t fili_cover_bytes(int32_t mt, int32_t mb)
{
    return (uint64_t)mt * (uint64_t)fili_mask_words(mb) * sizeof(uint32_t);
}

fil_status fili_cover_init(fili_cover *out, fil_ctx *ctx, const fili_cover_side *base,
                           const fili_cover_side *target)
{
    covering     c     = {.base = base, .target = target};
    const size_t bytes = (size_t)base->order->n * sizeof *c.block;
    void        *block;
    *out = (fili_cover){.ctx   = ctx,
                        .mt    = target->blocks->m,
                        .mb    = base->blocks->m,
                        .words = fili_mask_words(base->blocks->m)};
    FIL_TRY(fili_alloc(ctx, bytes, "blocks of the base grid", &block));
    c.block = block;
    number_blocks(base, c.block);
    const fil_status status = fili_calloc(ctx, (size_t)out->mt * (size_t)out->words,
                                          sizeof *out->bits, "covered blocks", &block);
    if (status == FIL_OK) {
        out->bits = block;
        fill(out, &c);
    }
    fili_free(ctx, c.block, bytes);
    return status;
}

void fili_cover_fini(fili_cover *cover)
{
    fili_free(cover->ctx, cover->bits, (size_t)fili_cover_bytes(cover->mt, cover->mb));
    cover->bits = NULL;
}

/* ---- maps ----------------------------------------------------------------------------------- */

static void least_of_rows(uint8_t *least, const uint8_t *row, int32_t m)
{
    for (int32_t i = 0; i < m; i++)
        least[i] = row[i] < least[i] ? row[i] : least[i];
}

static uint8_t least_of_bits(const uint8_t *level, const uint32_t *bits, int32_t words)
{
    uint8_t least = UINT8_MAX;
    for (int32_t w = 0; w < words; w++)
        for (uint32_t left = bits[w]; left != 0; left &= left - 1) {
            const uint8_t l = level[32 * w + fili_lowest_bit(left)];
            least           = l < least ? l : least;
        }
    return least;
}

void fili_cover_apply(const fili_cover *cover, const uint8_t *base, uint8_t *scratch,
                      uint8_t *target)
{
    const int32_t mt = cover->mt;
    const int32_t mb = cover->mb;
    for (int32_t u = 0; u < mt; u++) {
        const uint32_t *rows = cover->bits + (int64_t)u * cover->words;
        memset(scratch, UINT8_MAX, (size_t)mb);
        for (int32_t w = 0; w < cover->words; w++)
            for (uint32_t left = rows[w]; left != 0; left &= left - 1)
                least_of_rows(scratch, base + (32 * (int64_t)w + fili_lowest_bit(left)) * mb, mb);
        for (int32_t v = 0; v < mt; v++)
            target[(int64_t)u * mt + v] =
                least_of_bits(scratch, cover->bits + (int64_t)v * cover->words, cover->words);
    }
}
