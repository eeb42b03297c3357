/* sparse/blocks.c: cutting a sequence into runs (sparse/blocks.h). */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "sparse/blocks.h"

static fil_status blocks_alloc(fili_blocks *out, fil_ctx *ctx, int32_t m)
{
    size_t bytes;
    void  *block;
    *out = (fili_blocks){.ctx = ctx};
    if (!fili_mul_size((size_t)m + 1, sizeof *out->offset, &bytes))
        return FIL_FAIL(ctx, FIL_E_NOMEM, "%d blocks exceed the address space", m);
    FIL_TRY(fili_alloc(ctx, bytes, "block offsets", &block));
    out->m      = m;
    out->offset = block;
    return FIL_OK;
}

void fili_blocks_fini(fili_blocks *blocks)
{
    fil_ctx *ctx = blocks->ctx;
    fili_free(ctx, blocks->offset, ((size_t)blocks->m + 1) * sizeof *blocks->offset);
    *blocks = (fili_blocks){.ctx = ctx};
}

static int32_t runs_of(int32_t tokens, int32_t longest)
{
    return tokens / longest + (tokens % longest != 0);
}

/* Cuts every segment [start[i], start[i + 1]) into runs of `longest` and a rest. */
static fil_status cut(fili_blocks *out, fil_ctx *ctx, const int32_t *start, int32_t n_segments,
                      int32_t longest)
{
    int32_t m = 0; /* <= the number of tokens */
    for (int32_t i = 0; i < n_segments; i++)
        m += runs_of(start[i + 1] - start[i], longest);
    FIL_TRY(blocks_alloc(out, ctx, m));
    size_t b = 0;
    for (int32_t i = 0; i < n_segments; i++) {
        const int32_t runs = runs_of(start[i + 1] - start[i], longest);
        for (int32_t r = 0; r < runs; r++)
            out->offset[b++] = start[i] + r * longest;
    }
    out->offset[b] = start[n_segments];
    return FIL_OK;
}

fil_status fili_blocks_from_order(fili_blocks *out, const fili_order *order)
{
    return cut(out, order->ctx, order->piece, order->n_pieces, FILI_BLOCK_TOKENS);
}

fil_status fili_blocks_uniform(fili_blocks *out, fil_ctx *ctx, int32_t n)
{
    const int32_t ends[2] = {0, n};
    *out                  = (fili_blocks){.ctx = ctx};
    FIL_CHECK(ctx, n >= 1, "%d tokens; expected at least 1", n);
    return cut(out, ctx, ends, 1, FILI_BLOCK_TOKENS);
}

static fil_status check_offsets(fil_ctx *ctx, const int32_t *offset, int32_t m, int32_t n)
{
    FIL_CHECK(ctx, offset != NULL, "block offsets are NULL");
    FIL_CHECK(ctx, m >= 1, "%d blocks; expected at least 1", m);
    FIL_CHECK(ctx, offset[0] == 0, "the first block begins at token %d; expected 0", offset[0]);
    for (int32_t b = 0; b < m; b++) {
        const int64_t run = (int64_t)offset[b + 1] - offset[b];
        FIL_CHECK(ctx, run >= 1, "block offsets do not rise: %d and %d at block %d", offset[b],
                  offset[b + 1], b);
        FIL_CHECK(ctx, run <= FILI_BLOCK_TOKENS, "block %d has %lld tokens; at most %d are allowed",
                  b, (long long)run, FILI_BLOCK_TOKENS);
    }
    FIL_CHECK(ctx, offset[m] == n, "the last block ends at token %d; expected %d", offset[m], n);
    return FIL_OK;
}

fil_status fili_blocks_from_offsets(fili_blocks *out, fil_ctx *ctx, const int32_t *offset,
                                    int32_t m, int32_t n)
{
    *out = (fili_blocks){.ctx = ctx};
    FIL_TRY(check_offsets(ctx, offset, m, n));
    FIL_TRY(blocks_alloc(out, ctx, m));
    memcpy(out->offset, offset, ((size_t)m + 1) * sizeof *offset);
    return FIL_OK;
}

fil_status fili_blocks_pairs(fili_blocks *out, const fili_blocks *blocks)
{
    const int32_t pairs = blocks->m / 2 + blocks->m % 2;
    FIL_TRY(blocks_alloc(out, blocks->ctx, pairs));
    for (int32_t p = 0; p < pairs; p++)
        out->offset[p] = blocks->offset[2 * (int64_t)p];
    out->offset[pairs] = fili_blocks_tokens(blocks);
    return FIL_OK;
}

fil_status fili_blocks_split(fili_blocks *out, const fili_blocks *blocks, int32_t tokens,
                             int32_t *first)
{
    FIL_TRY(cut(out, blocks->ctx, blocks->offset, blocks->m, tokens));
    if (first == NULL) return FIL_OK;
    first[0] = 0;
    for (int32_t b = 0; b < blocks->m; b++)
        first[b + 1] = first[b] + runs_of(fili_blocks_valid(blocks, b), tokens);
    return FIL_OK;
}

int32_t fili_blocks_find(const fili_blocks *blocks, int32_t token)
{
    int32_t low  = 0;
    int32_t high = blocks->m;
    while (high - low > 1) {
        const int32_t middle = low + (high - low) / 2;
        if (blocks->offset[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low;
}
