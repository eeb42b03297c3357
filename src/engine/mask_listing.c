/* engine/mask_listing.c: masks.json (mask_listing.h): written entry by entry, so that it takes no
 * memory. Densities are put together from whole numbers: the caller's locale may have another
 * decimal point.
 */
#include <stdio.h>
#include <string.h>

#include "engine/mask_listing.h"

static fil_status put(fili_mask_listing *l, const char *text, int length, size_t room)
{
    if (length < 0 || (size_t)length >= room)
        return FIL_FAIL(l->ctx, FIL_E_INTERNAL, "an entry of masks.json has %d bytes", length);
    FIL_TRY(fili_atomic_write(l->ctx, &l->file, l->offset, text, (size_t)length));
    l->offset += (uint64_t)length;
    return FIL_OK;
}

/* The name of an order, which may come from anywhere: printable, but quotes need an escape. */
static void escape(const char *name, char *out, size_t room)
{
    size_t n = 0;
    for (; *name != '\0' && n + 3 < room; name++) {
        if (*name == '"' || *name == '\\') out[n++] = '\\';
        out[n++] = *name;
    }
    out[n] = '\0';
}

static fil_status put_head(fili_mask_listing *l, const fili_mask_file *f)
{
    char order[128];
    char text[512];
    escape(f->order_name, order, sizeof order);
    const int n = snprintf(text, sizeof text,
                           "{\"format\": \"" FILI_MASK_FORMAT "\", \"grid\": [%d, %d, %d], "
                           "\"order\": \"%s\", \"query_blocks\": %d, \"key_blocks\": %d, "
                           "\"heads\": %d,\n \"pictures\": [",
                           (int)f->grid.f, (int)f->grid.h, (int)f->grid.w, order, (int)f->q.m,
                           (int)f->k.m, (int)f->heads);
    return put(l, text, n, sizeof text);
}

fil_status fili_mask_listing_open(fili_mask_listing *out, const fili_mask_file *masks,
                                  const char *path, int replace)
{
    *out = (fili_mask_listing){.ctx   = masks->ctx,
                               .file  = FILI_ATOMIC_CLOSED,
                               .pairs = (uint64_t)masks->n * (uint64_t)masks->n};
    FIL_TRY(fili_atomic_open(out->ctx, path, replace, &out->file));
    const fil_status status = put_head(out, masks);
    if (status != FIL_OK) fili_mask_listing_close(out);
    return status;
}

/* kept / all in millionths, rounded. */
static uint64_t millionths(uint64_t kept, uint64_t all)
{
    const long double share = (long double)kept / (long double)all;
    return (uint64_t)(share * 1e6L + 0.5L);
}

fil_status fili_mask_listing_put(fili_mask_listing *listing, const fil_mask_picture *p)
{
    char           text[384];
    const uint64_t density = millionths(p->kept, listing->pairs);
    const int      n =
        snprintf(text, sizeof text,
                 "%s\n  {\"file\": \"%s\", \"layer\": %d, \"step\": %d, \"pass\": %d, "
                 "\"head\": %d, \"kept\": %llu, \"density\": %d.%06d, \"least\": %d, "
                 "\"most\": %d}",
                 listing->n == 0 ? "" : ",", p->name, (int)p->layer, (int)p->step, (int)p->pass,
                 (int)p->head, (unsigned long long)p->kept, (int)(density / 1000000),
                 (int)(density % 1000000), (int)p->least, (int)p->most);
    listing->n++;
    return put(listing, text, n, sizeof text);
}

fil_status fili_mask_listing_finish(fili_mask_listing *listing)
{
    static const char end[]  = "\n]}\n";
    const fil_status  status = put(listing, end, (int)sizeof end - 1, sizeof end);
    if (status == FIL_OK) return fili_atomic_commit(listing->ctx, &listing->file);
    fili_mask_listing_close(listing);
    return status;
}

void fili_mask_listing_close(fili_mask_listing *listing)
{
    if (listing->ctx != NULL) fili_atomic_abort(listing->ctx, &listing->file);
}
