/* wan/weights_gguf.c: shapes that writers of GGUF files change (weights.h).
 *
 * ggml has four dimensions and does not store those of size 1 that come first in row-major order.
 * So a file that went through it has the tables of modulation without their leading 1, and
 * stable-diffusion.cpp joins the first two dimensions of the patch embedding, out and in channels.
 * Files whose writers kept the shapes (wan.md 17.2) are left as they are.
 */
#include <string.h>

#include "wan/weights_inside.h"

/* Dimension 0 becomes two: `first` and what is left, which it is a multiple of. */
static fil_status split_first(fili_weights *w, fili_weight *t, int64_t first)
{
    void *block;
    FIL_TRY(fili_arena_alloc(&w->arena, sizeof(fili_entry), &block));
    fili_entry *e = block;
    *e            = *t->entry;
    for (uint32_t i = e->rank; i > 1; i--)
        e->shape[i] = e->shape[i - 1];
    e->shape[1] = e->shape[0] / first;
    e->shape[0] = first;
    e->rank++;
    t->entry = e;
    return FIL_OK;
}

fil_status fili_weights_restore_shapes(fili_weights *w)
{
    const fili_entry *bias = fili_weights_find(w, "patch_embedding.bias");
    const int64_t     dim  = bias != NULL && bias->rank == 1 ? bias->shape[0] : 0;
    for (size_t i = 0; i < w->n; i++) {
        fili_weight      *t = &w->tensors[i];
        const fili_entry *e = t->entry;
        if (e->rank == 2 && fili_ends_with(t->name, "modulation")) FIL_TRY(split_first(w, t, 1));
        if (e->rank == 4 && strcmp(t->name, "patch_embedding.weight") == 0 && dim > 0 &&
            e->shape[0] % dim == 0)
            FIL_TRY(split_first(w, t, dim));
    }
    return FIL_OK;
}
