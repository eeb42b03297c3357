/* engine/mask_listing.h: masks.json beside the pictures of a mask file (filigree/masks.h). */
#ifndef FILI_ENGINE_MASK_LISTING_H
#define FILI_ENGINE_MASK_LISTING_H

#include "filigree/masks.h"
#include "sparse/mask_file.h"

typedef struct fili_mask_listing {
    fil_ctx    *ctx;
    fili_atomic file;
    uint64_t    offset, pairs; /* bytes written; token pairs of one head */
    int32_t     n;             /* entries so far */
} fili_mask_listing;

/* Begins the file. E_IO; on failure *out is closed. */
FIL_MUSTCHECK fil_status fili_mask_listing_open(fili_mask_listing *out, const fili_mask_file *masks,
                                                const char *path, int replace);
FIL_MUSTCHECK fil_status fili_mask_listing_put(fili_mask_listing      *listing,
                                               const fil_mask_picture *picture);
/* Makes the file appear. Closes whatever the result. */
FIL_MUSTCHECK fil_status fili_mask_listing_finish(fili_mask_listing *listing);
void                     fili_mask_listing_close(fili_mask_listing *listing); /* idempotent */

#endif
