/* engine/order_api.c: the public face of sparse/order.h and sparse/mask.h (filigree/attention.h).
 * It checks what a caller may get wrong; the work is done in sparse/.
 */
#include <string.h>

#include "base/mem.h"
#include "engine/handles.h"
#include "sparse/mask_file.h"

fil_status fili_check_offsets(fil_ctx *ctx, const char *what, const int32_t *offset, int32_t m)
{
    if (offset[0] != 0)
        return FIL_FAIL(ctx, FIL_E_SHAPE, "%s[0] is %d; expected 0", what, offset[0]);
    for (int32_t b = 0; b < m; b++) {
        const int64_t tokens = (int64_t)offset[b + 1] - offset[b];
        if (tokens < 1 || tokens > FIL_BLOCK_TOKENS)
            return FIL_FAIL(ctx, FIL_E_SHAPE, "%s: block %d has %lld tokens; expected 1 to %d",
                            what, b, (long long)tokens, FIL_BLOCK_TOKENS);
    }
    return FIL_OK;
}

/* ---- order ---------------------------------------------------------------------------------- */

static fil_status order_create(fil_order *o, fil_grid grid, const char *name)
{
    fili_order_spec spec;
    const fili_grid g = {.f = grid.f, .h = grid.h, .w = grid.w};
    FIL_TRY(fili_order_parse(o->ctx, name, &spec));
    FIL_TRY(fili_order_init(&o->order, o->ctx, g, &spec));
    return fili_blocks_from_order(&o->blocks, &o->order);
}

fil_status fil_order_create(fil_ctx *ctx, fil_grid grid, const char *name, fil_order **out)
{
    void *block;
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_order_create: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, name != NULL && out != NULL, "fil_order_create: %s is NULL",
              name == NULL ? "name" : "out");
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_order), "order", &block));
    fil_order *order        = block;
    order->ctx              = ctx;
    const fil_status status = order_create(order, grid, name);
    if (status != FIL_OK) fil_order_destroy(&order);
    *out = order;
    return status;
}

void fil_order_destroy(fil_order **order)
{
    if (order == NULL || *order == NULL) return;
    fil_order *o = *order;
    fili_blocks_fini(&o->blocks);
    fili_order_fini(&o->order);
    fili_free(o->ctx, o, sizeof *o);
    *order = NULL;
}

int32_t fil_order_tokens(const fil_order *order)
{
    return order != NULL ? order->order.n : 0;
}

int32_t fil_order_blocks(const fil_order *order)
{
    return order != NULL ? order->blocks.m : 0;
}

const int32_t *fil_order_indices(const fil_order *order)
{
    return order != NULL ? order->order.order : NULL;
}

const int32_t *fil_order_inverse(const fil_order *order)
{
    return order != NULL ? order->order.inverse : NULL;
}

const int32_t *fil_order_offsets(const fil_order *order)
{
    return order != NULL ? order->blocks.offset : NULL;
}

/* ---- mask ----------------------------------------------------------------------------------- */

static fil_status mask_create(fil_ctx *ctx, int32_t heads, int32_t mq, int32_t mk, fil_mask **out)
{
    void *block;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_mask), "mask", &block));
    fil_mask *mask          = block;
    mask->ctx               = ctx;
    const fil_status status = fili_mask_init(&mask->mask, ctx, heads, mq, mk);
    if (status != FIL_OK) fil_mask_destroy(&mask);
    *out = mask;
    return status;
}

fil_status fil_mask_create(fil_ctx *ctx, int32_t heads, int32_t n_q_blocks, int32_t n_k_blocks,
                           fil_mask **out)
{
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_mask_create: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, out != NULL, "fil_mask_create: out is NULL");
    return mask_create(ctx, heads, n_q_blocks, n_k_blocks, out);
}

void fil_mask_destroy(fil_mask **mask)
{
    if (mask == NULL || *mask == NULL) return;
    fili_mask_fini(&(*mask)->mask);
    fili_free((*mask)->ctx, *mask, sizeof **mask);
    *mask = NULL;
}

void fil_mask_clear(fil_mask *mask)
{
    if (mask != NULL) fili_mask_clear(&mask->mask);
}

void fil_mask_fill(fil_mask *mask)
{
    if (mask != NULL) fili_mask_fill(&mask->mask);
}

fil_status fil_mask_set(fil_mask *mask, int32_t head, int32_t q_block, int32_t k_block, int keep)
{
    FIL_CHECK(NULL, mask != NULL, "fil_mask_set: mask is NULL");
    fili_ctx_enter(mask->ctx);
    return fili_mask_set(&mask->mask, head, q_block, k_block, keep != 0);
}

int fil_mask_get(const fil_mask *mask, int32_t head, int32_t q_block, int32_t k_block)
{
    return mask != NULL && fili_mask_get(&mask->mask, head, q_block, k_block);
}

/* Blocks that borrow a caller's offsets, which are only read. */
static fili_blocks borrow(fil_ctx *ctx, const int32_t *offset, int32_t m)
{
    fili_blocks blocks = {.ctx = ctx, .m = m};
    memcpy(&blocks.offset, &offset, sizeof offset);
    return blocks;
}

fil_status fil_mask_density(const fil_mask *mask, const int32_t *q_offsets,
                            const int32_t *k_offsets, double *density)
{
    FIL_CHECK(NULL, mask != NULL, "fil_mask_density: mask is NULL");
    fil_ctx *ctx = mask->ctx;
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, q_offsets != NULL && density != NULL, "fil_mask_density: %s is NULL",
              q_offsets == NULL ? "q_offsets" : "density");
    FIL_CHECK(ctx, k_offsets != NULL || mask->mask.mq == mask->mask.mk,
              "fil_mask_density: k_offsets is NULL, but the mask has %d by %d blocks",
              mask->mask.mq, mask->mask.mk);
    if (k_offsets == NULL) k_offsets = q_offsets;
    FIL_TRY(fili_check_offsets(ctx, "q_offsets", q_offsets, mask->mask.mq));
    FIL_TRY(fili_check_offsets(ctx, "k_offsets", k_offsets, mask->mask.mk));
    const fili_blocks q = borrow(ctx, q_offsets, mask->mask.mq);
    const fili_blocks k = borrow(ctx, k_offsets, mask->mask.mk);
    return fili_mask_density(&mask->mask, &q, &k, density);
}

static int same_blocks(const fili_blocks *a, const fili_blocks *b)
{
    return a->m == b->m &&
           memcmp(a->offset, b->offset, sizeof *a->offset * ((size_t)a->m + 1)) == 0;
}

/* Equal offsets are not enough: raster and Hilbert order both have runs of 64. */
static int same_order(const fili_mask_file *file, const fil_order *order)
{
    return file->n == order->order.n &&
           memcmp(file->order, order->order.order, sizeof *file->order * (size_t)file->n) == 0 &&
           same_blocks(&file->q, &order->blocks) && same_blocks(&file->k, &order->blocks);
}

static fil_status read_mask(fili_mask_file *file, int32_t index, const fil_order *order,
                            fil_mask **out)
{
    fil_ctx *ctx = file->ctx;
    FIL_CHECK(ctx, index >= 0 && index < file->n_masks, "mask %d of a file with %d masks", index,
              file->n_masks);
    if (!same_order(file, order))
        return FIL_FAIL(ctx, FIL_E_MISMATCH,
                        "the masks are for %d tokens in %d by %d blocks of the order '%.60s'; this "
                        "order has %d tokens in %d blocks, or another sequence",
                        file->n, file->q.m, file->k.m, file->order_name, order->order.n,
                        order->blocks.m);
    FIL_TRY(mask_create(ctx, file->heads, file->q.m, file->k.m, out));
    const fil_status status = fili_mask_file_read(file, index, &(*out)->mask);
    if (status != FIL_OK) fil_mask_destroy(out);
    return status;
}

fil_status fil_mask_read(fil_ctx *ctx, const char *path, int32_t index, const fil_order *order,
                         fil_mask **out)
{
    fili_mask_file file;
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_mask_read: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && order != NULL && out != NULL, "fil_mask_read: %s is NULL",
              path == NULL    ? "path"
              : order == NULL ? "order"
                              : "out");
    FIL_TRY(fili_mask_file_open(&file, ctx, path));
    const fil_status status = read_mask(&file, index, order, out);
    fili_mask_file_close(&file);
    return status;
}
