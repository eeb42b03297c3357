/* sparse/mask_file_write.c: writing a mask file, one mask after the other (sparse/mask_file.h).
 * Reading: mask_file.c.
 */
#include <stdio.h>

#include "sparse/mask_file.h"

enum { SLOT_WORDS, SLOT_MAP, SLOT_ORDER, SLOT_Q, SLOT_K, SLOTS };

static fil_status check_blocks(fil_ctx *ctx, const fili_mask_desc *d)
{
    const int32_t q = fili_blocks_tokens(d->q);
    const int32_t k = fili_blocks_tokens(d->k);
    if (q == d->order->n && k == d->order->n) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_SHAPE,
                    "mask file: the order has %d tokens, query blocks %d, key blocks %d",
                    d->order->n, q, k);
}

static fil_status write_head(fili_mask_writer *w, const fili_mask_desc *d)
{
    const uint64_t size = sizeof(int32_t);
    FIL_TRY(fili_writer_put(&w->file, SLOT_MAP, d->map, (uint64_t)d->n_masks * 3 * size));
    FIL_TRY(fili_writer_put(&w->file, SLOT_ORDER, d->order->order, (uint64_t)d->order->n * size));
    FIL_TRY(fili_writer_put(&w->file, SLOT_Q, d->q->offset, ((uint64_t)d->q->m + 1) * size));
    return fili_writer_put(&w->file, SLOT_K, d->k->offset, ((uint64_t)d->k->m + 1) * size);
}

static fil_status open_file(fili_mask_writer *w, const char *path, const fili_mask_desc *d,
                            int replace)
{
    const fili_grid *g = &d->order->grid;
    char             name[FILI_ORDER_NAME];
    char             grid[48];
    fili_order_name(&d->order->spec, name);
    snprintf(grid, sizeof grid, "%d,%d,%d", g->f, g->h, g->w);
    const fil_tensor_desc tensors[SLOTS] = {
        [SLOT_WORDS] = {.name  = "words",
                        .dtype = FIL_U32,
                        .rank  = 4,
                        .shape = {d->n_masks, d->heads, d->q->m, fili_mask_words(d->k->m)}},
        [SLOT_MAP]   = {.name = "map", .dtype = FIL_I32, .rank = 2, .shape = {d->n_masks, 3}},
        [SLOT_ORDER] = {.name = "order", .dtype = FIL_I32, .rank = 1, .shape = {d->order->n}},
        [SLOT_Q]     = {.name = "q_offsets", .dtype = FIL_I32, .rank = 1, .shape = {d->q->m + 1ll}},
        [SLOT_K] = {.name = "k_offsets", .dtype = FIL_I32, .rank = 1, .shape = {d->k->m + 1ll}}};
    const fil_pair metadata[] = {
        {.key = "format", .value = FILI_MASK_FORMAT},
        {.key = "grid", .value = grid},
        {.key = "order_name", .value = d->order_name != NULL ? d->order_name : name}};
    const fili_writer_input input = {.tensors   = tensors,
                                     .n_tensors = SLOTS,
                                     .metadata  = metadata,
                                     .n_pairs   = sizeof metadata / sizeof metadata[0]};
    return fili_writer_open(&w->file, w->ctx, path, &input, replace);
}

fil_status fili_mask_writer_open(fili_mask_writer *out, fil_ctx *ctx, const char *path,
                                 const fili_mask_desc *desc, int replace)
{
    fil_status status;
    *out = (fili_mask_writer){.ctx = ctx, .file = {.ctx = ctx, .file = FILI_ATOMIC_CLOSED}};
    FIL_CHECK(ctx, desc->n_masks >= 1 && desc->heads >= 1,
              "mask file of %d masks and %d heads; expected at least 1 of each", desc->n_masks,
              desc->heads);
    FIL_TRY(check_blocks(ctx, desc));
    FIL_TRY(fili_mask_map_check(ctx, desc->map, desc->n_masks));
    out->heads   = desc->heads;
    out->mq      = desc->q->m;
    out->mk      = desc->k->m;
    out->n_masks = desc->n_masks;
    FIL_TRY(open_file(out, path, desc, replace));
    FIL_TRY_OR(fail, write_head(out, desc));
    return FIL_OK;
fail:
    fili_writer_close(&out->file);
    return status;
}

fil_status fili_mask_writer_put(fili_mask_writer *writer, const fili_mask *mask)
{
    fil_ctx *ctx = writer->ctx;
    FIL_CHECK(ctx, writer->done < writer->n_masks, "mask file: all %d masks are written already",
              writer->n_masks);
    if (mask->mq != writer->mq || mask->mk != writer->mk ||
        (mask->heads != 1 && mask->heads != writer->heads))
        return FIL_FAIL(ctx, FIL_E_SHAPE,
                        "mask of %d heads, %d x %d blocks for a file of %d heads, %d x %d blocks",
                        mask->heads, mask->mq, mask->mk, writer->heads, writer->mq, writer->mk);
    FIL_TRY(fili_mask_check(mask));
    const uint64_t bytes = (uint64_t)mask->mq * (uint64_t)mask->words * sizeof *mask->bits;
    for (int32_t h = 0; h < writer->heads; h++)
        FIL_TRY(fili_writer_put(&writer->file, SLOT_WORDS, fili_mask_row(mask, h, 0), bytes));
    writer->done++;
    return FIL_OK;
}

fil_status fili_mask_writer_finish(fili_mask_writer *writer)
{
    fil_ctx *ctx = writer->ctx;
    if (writer->done == writer->n_masks) return fili_writer_finish(&writer->file);
    fili_writer_close(&writer->file);
    return FIL_FAIL(ctx, FIL_E_ARG, "mask file: %d of %d masks were written", writer->done,
                    writer->n_masks);
}

void fili_mask_writer_close(fili_mask_writer *writer)
{
    fili_writer_close(&writer->file);
}
