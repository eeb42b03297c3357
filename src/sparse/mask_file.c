/* sparse/mask_file.c: reading a mask file (sparse/mask_file.h). Writing: mask_file_write.c.
 *
 * The same checks serve callers and files; what is a bad argument from a caller is a malformed file
 * here, so their status is turned into E_FORMAT and the tensor is named.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sparse/mask_file.h"

_Static_assert(sizeof(fili_mask_key) == 3 * sizeof(int32_t), "a key is a row of `map`");

/* ---- keys ----------------------------------------------------------------------------------- */

static int compare_i32(int32_t a, int32_t b)
{
    return (a > b) - (a < b);
}

static int by_key(const void *a, const void *b)
{
    const fili_mask_key *x = a;
    const fili_mask_key *y = b;
    if (x->layer != y->layer) return compare_i32(x->layer, y->layer);
    if (x->step != y->step) return compare_i32(x->step, y->step);
    return compare_i32(x->pass, y->pass);
}

static fil_status check_unique(fil_ctx *ctx, const fili_mask_key *map, int32_t n)
{
    void        *block;
    fil_status   status = FIL_OK;
    const size_t bytes  = (size_t)n * sizeof *map;
    FIL_TRY(fili_alloc(ctx, bytes, "mask keys", &block));
    fili_mask_key *sorted = memcpy(block, map, bytes);
    qsort(sorted, (size_t)n, sizeof *sorted, by_key);
    for (int32_t i = 1; i < n && status == FIL_OK; i++)
        if (by_key(&sorted[i - 1], &sorted[i]) == 0)
            status = FIL_FAIL(ctx, FIL_E_ARG, "two masks for layer %d, step %d, pass %d",
                              sorted[i].layer, sorted[i].step, sorted[i].pass);
    fili_free(ctx, block, bytes);
    return status;
}

fil_status fili_mask_map_check(fil_ctx *ctx, const fili_mask_key *map, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        FIL_CHECK(ctx,
                  map[i].layer >= FILI_MASK_ANY && map[i].step >= FILI_MASK_ANY &&
                      map[i].pass >= FILI_MASK_ANY,
                  "mask %d is for layer %d, step %d, pass %d; expected each from 0, or -1 for any",
                  i, map[i].layer, map[i].step, map[i].pass);
    return check_unique(ctx, map, n);
}

static bool key_fits(int32_t have, int32_t want)
{
    return have == FILI_MASK_ANY || have == want;
}

int32_t fili_mask_file_find(const fili_mask_file *file, fili_mask_key key)
{
    for (int32_t i = 0; i < file->n_masks; i++) {
        const fili_mask_key *m = &file->map[i];
        if (key_fits(m->layer, key.layer) && key_fits(m->step, key.step) &&
            key_fits(m->pass, key.pass))
            return i;
    }
    return -1;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static fil_status in_file(fil_ctx *ctx, fil_status status, const char *what)
{
    if (status == FIL_E_ARG) status = ctx->error.status = FIL_E_FORMAT;
    if (status != FIL_OK) fili_error_frame(ctx, "mask file, %s", what);
    return status;
}

/* The tensor `name`, of that type and rank, each dimension from 1 to 2^31 - 1. */
static fil_status find(const fili_mask_file *f, const char *name, fil_dtype dtype, uint32_t rank,
                       const fili_entry **out)
{
    const fili_entry *e = fili_tensors_find(&f->set, name);
    *out                = e;
    if (e == NULL) return FIL_FAIL(f->ctx, FIL_E_FORMAT, "mask file: tensor '%s' is missing", name);
    if (e->dtype != dtype || e->rank != rank)
        return FIL_FAIL(f->ctx, FIL_E_FORMAT,
                        "mask file: '%s' is %s with %u dimensions; expected %s with %u", name,
                        fil_dtype_name(e->dtype), e->rank, fil_dtype_name(dtype), rank);
    for (uint32_t i = 0; i < rank; i++)
        if (e->shape[i] < 1 || e->shape[i] > INT32_MAX)
            return FIL_FAIL(f->ctx, FIL_E_FORMAT,
                            "mask file: dimension %u of '%s' is %lld; expected 1 to %d", i, name,
                            (long long)e->shape[i], INT32_MAX);
    return FIL_OK;
}

/* All of a tensor; the caller frees entry->bytes. */
static fil_status read_all(const fili_mask_file *f, const fili_entry *e, void **out)
{
    FIL_TRY(fili_alloc(f->ctx, (size_t)e->bytes, "mask file", out));
    const fil_status status = fili_tensors_read(&f->set, e, 0, *out, e->bytes);
    if (status == FIL_OK) return FIL_OK;
    fili_free(f->ctx, *out, (size_t)e->bytes);
    *out = NULL;
    return status;
}

static fil_status metadata(const fili_mask_file *f, const char *key, const char **value)
{
    *value = fili_tensors_metadata(&f->set, key);
    if (*value != NULL && fili_is_printable(*value, strlen(*value))) return FIL_OK;
    return FIL_FAIL(f->ctx, FIL_E_FORMAT, "mask file: metadata '%s' is %s", key,
                    *value == NULL ? "missing" : "not printable");
}

static fil_status read_metadata(fili_mask_file *f)
{
    const char *format;
    const char *grid;
    FIL_TRY(metadata(f, "format", &format));
    if (strcmp(format, FILI_MASK_FORMAT) != 0)
        return FIL_FAIL(f->ctx, FIL_E_FORMAT, "mask file: the format is '%s'; expected '%s'",
                        fili_quote(format, strlen(format)).text, FILI_MASK_FORMAT);
    FIL_TRY(metadata(f, "grid", &grid));
    FIL_TRY(metadata(f, "order_name", &f->order_name));
    FIL_TRY(in_file(f->ctx, fili_grid_parse(f->ctx, grid, &f->grid), "metadata grid"));
    return in_file(f->ctx, fili_grid_tokens(f->ctx, f->grid, &f->n), "metadata grid");
}

static fil_status check_permutation(fil_ctx *ctx, const int32_t *order, int32_t n)
{
    void        *inverse;
    const size_t bytes = (size_t)n * sizeof *order;
    FIL_TRY(fili_alloc(ctx, bytes, "mask file", &inverse));
    const fil_status status = fili_order_invert(ctx, order, n, inverse);
    fili_free(ctx, inverse, bytes);
    return in_file(ctx, status, "tensor order");
}

/* A file that says `hilbert` and holds another sequence would be applied to the wrong tokens. */
static fil_status check_name(const fili_mask_file *f)
{
    fili_order_spec spec;
    fili_order      known;
    if (!fili_order_known(f->order_name, &spec)) return FIL_OK;
    FIL_TRY(fili_order_init(&known, f->ctx, f->grid, &spec));
    const bool same = memcmp(known.order, f->order, (size_t)f->n * sizeof *f->order) == 0;
    fili_order_fini(&known);
    if (same) return FIL_OK;
    return FIL_FAIL(f->ctx, FIL_E_MISMATCH,
                    "mask file: 'order' is not the order '%s' of the grid %d,%d,%d", f->order_name,
                    f->grid.f, f->grid.h, f->grid.w);
}

static fil_status read_order(fili_mask_file *f)
{
    const fili_entry *e;
    void             *block;
    FIL_TRY(find(f, "order", FIL_I32, 1, &e));
    if (e->shape[0] != f->n)
        return FIL_FAIL(f->ctx, FIL_E_MISMATCH,
                        "mask file: 'order' has %lld tokens, the grid %d,%d,%d has %d",
                        (long long)e->shape[0], f->grid.f, f->grid.h, f->grid.w, f->n);
    FIL_TRY(read_all(f, e, &block));
    f->order = block;
    FIL_TRY(check_permutation(f->ctx, f->order, f->n));
    return check_name(f);
}

static fil_status read_blocks(fili_mask_file *f, const char *name, fili_blocks *out)
{
    const fili_entry *e;
    void             *block;
    FIL_TRY(find(f, name, FIL_I32, 1, &e));
    FIL_TRY(read_all(f, e, &block));
    const fil_status status =
        fili_blocks_from_offsets(out, f->ctx, block, (int32_t)(e->shape[0] - 1), f->n);
    fili_free(f->ctx, block, (size_t)e->bytes);
    return in_file(f->ctx, status, name);
}

static fil_status read_map(fili_mask_file *f)
{
    const fili_entry *e;
    void             *block;
    FIL_TRY(find(f, "map", FIL_I32, 2, &e));
    if (e->shape[0] != f->words->shape[0] || e->shape[1] != 3)
        return FIL_FAIL(f->ctx, FIL_E_MISMATCH,
                        "mask file: 'map' is %lld x %lld; expected %lld x 3, a row for each mask",
                        (long long)e->shape[0], (long long)e->shape[1],
                        (long long)f->words->shape[0]);
    f->n_masks = (int32_t)e->shape[0];
    FIL_TRY(read_all(f, e, &block));
    f->map = block;
    return in_file(f->ctx, fili_mask_map_check(f->ctx, f->map, f->n_masks), "tensor map");
}

static fil_status check_words(fili_mask_file *f)
{
    const int64_t *shape = f->words->shape;
    const int32_t  words = fili_mask_words(f->k.m);
    f->heads             = (int32_t)shape[1];
    if (shape[2] == f->q.m && shape[3] == words) return FIL_OK;
    return FIL_FAIL(f->ctx, FIL_E_MISMATCH,
                    "mask file: 'words' has %lld rows of %lld; %d query and %d key blocks need %d "
                    "rows of %d",
                    (long long)shape[2], (long long)shape[3], f->q.m, f->k.m, f->q.m, words);
}

/* ---- the file ------------------------------------------------------------------------------- */

static fil_status read_parts(fili_mask_file *f, const char *path)
{
    FIL_TRY(fili_tensors_open(&f->set, path));
    FIL_TRY(read_metadata(f));
    FIL_TRY(find(f, "words", FIL_U32, 4, &f->words));
    FIL_TRY(read_map(f));
    FIL_TRY(read_order(f));
    FIL_TRY(read_blocks(f, "q_offsets", &f->q));
    FIL_TRY(read_blocks(f, "k_offsets", &f->k));
    return check_words(f);
}

fil_status fili_mask_file_open(fili_mask_file *out, fil_ctx *ctx, const char *path)
{
    *out = (fili_mask_file){.ctx = ctx, .q = {.ctx = ctx}, .k = {.ctx = ctx}};
    fili_tensors_init(&out->set, ctx, 0);
    const fil_status status = read_parts(out, path);
    if (status != FIL_OK) fili_mask_file_close(out);
    return status;
}

void fili_mask_file_close(fili_mask_file *file)
{
    fil_ctx *ctx = file->ctx;
    fili_free(ctx, file->order, (size_t)file->n * sizeof *file->order);
    fili_free(ctx, file->map, (size_t)file->n_masks * sizeof *file->map);
    fili_blocks_fini(&file->q);
    fili_blocks_fini(&file->k);
    fili_tensors_fini(&file->set);
    file->order      = NULL;
    file->map        = NULL;
    file->words      = NULL;
    file->order_name = NULL;
    file->n = file->n_masks = file->heads = 0;
}

fil_status fili_mask_file_read(fili_mask_file *file, int32_t i, fili_mask *mask)
{
    fil_ctx *ctx = file->ctx;
    FIL_CHECK(ctx, i >= 0 && i < file->n_masks, "mask file: mask %d; there are %d", i,
              file->n_masks);
    if (mask->heads != file->heads || mask->mq != file->q.m || mask->mk != file->k.m)
        return FIL_FAIL(ctx, FIL_E_SHAPE,
                        "mask of %d heads, %d x %d blocks; the file has %d heads, %d x %d blocks",
                        mask->heads, mask->mq, mask->mk, file->heads, file->q.m, file->k.m);
    const uint64_t bytes = file->words->bytes / (uint64_t)file->n_masks;
    fil_status     status =
        fili_tensors_read(&file->set, file->words, (uint64_t)i * bytes, mask->bits, bytes);
    if (status == FIL_OK) status = in_file(ctx, fili_mask_check(mask), "tensor words");
    if (status != FIL_OK) fili_mask_clear(mask);
    return status;
}
