/* filigree/masks.h: masks of a mask file as pictures, to see what a sparse method keeps.
 *
 *     fil_mask_pictures_options o;
 *     fil_mask_pictures_result  r;
 *     fil_mask_pictures_options_init(&o);
 *     o.input  = "fox.masks.safetensors";
 *     o.folder = "fox.masks";                          // made if it is not there
 *     if (fil_mask_pictures(ctx, &o, &r) == FIL_OK)
 *         printf("%d pictures, density %.3f\n", r.pictures, r.density);
 *
 * One PNG per mask and head: rows are query blocks, columns key blocks, in the order of the file.
 * Kept pairs are black, left out ones white. The name says where the mask applies:
 * layer003_step010_pass0_head05.png, with `all` where the file says so (stepall, headall). Beside
 * them:
 *   - overview.png: a small picture of each, one row per mask and one column per head; grey is the
 *     share of kept block pairs
 *   - masks.json: the same as a list: file, layer, step, pass, head (-1 = all), kept (token pairs),
 *     density, and the fewest and most key blocks of a row
 *
 * One mask is held at a time. Nothing is written before every name is known to be free.
 */
#ifndef FILIGREE_MASKS_H
#define FILIGREE_MASKS_H

#include "filigree/filigree.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A picture that is written. What is -1 stands for all. */
typedef struct fil_mask_picture {
    const char *name; /* of its file; borrowed for the call */
    int32_t     layer, step, pass, head;
    uint64_t    kept;        /* (query token, key token) pairs */
    double      density;     /* kept over all pairs */
    int32_t     least, most; /* key blocks of a row */
} fil_mask_picture;

/* Anything but 0 ends the call with E_CANCELLED. *picture is borrowed for the call. */
typedef int (*fil_mask_picture_fn)(void *user, const fil_mask_picture *picture);

/* What is drawn, and where. The lists are numbers and ranges from 0 on, with commas between them:
 * "0,5,10-12". NULL = all. A mask that stands for all layers is drawn whatever `layers` says, and
 * so on. */
typedef struct fil_mask_pictures_options {
    uint32_t    struct_size;     /* set by fil_mask_pictures_options_init */
    int32_t     scale;           /* pixels of a side of a cell: 1 (default) to 64 */
    const char *input;           /* a file of the format filigree.mask.1 */
    const char *folder;          /* where the pictures go */
    const char *layers;          /* the masks of these */
    const char *steps;           /* and these */
    const char *passes;          /* and these, */
    const char *heads;           /* and of them these heads */
    int32_t     raster;          /* 1: in raster order of the tokens instead; 0. A cell is then
                                    one token where there are up to 1,024, else one row of the
                                    grid (w tokens), and grey is the share of kept pairs: white
                                    none, black all of them */
    int32_t             replace; /* 1 = files that exist are replaced; 0 = that is a failure */
    fil_mask_picture_fn picture; /* told each picture; NULL = nobody wants to know */
    void               *user;    /* for picture */
} fil_mask_pictures_options;

/* Defaults as above. Cannot fail. */
FIL_API void fil_mask_pictures_options_init(fil_mask_pictures_options *options);

/* What was drawn. */
typedef struct fil_mask_pictures_result {
    int32_t masks, pictures; /* overview.png is not counted */
    int32_t width, height;   /* of each, in pixels */
    int32_t overview;        /* 1, or 0 if there are more masks or heads than one picture shows */
    double  density;         /* mean of the pictures */
} fil_mask_pictures_result;

/* Draws. On failure *result is zeroed; what was written before stays. E_ARG: an option; E_MISMATCH:
 * no mask of the file is for what was asked; E_LIMIT: a picture would have a side of more than
 * 16,384 pixels; E_IO: a file exists, or the folder cannot be made or written; and what opening a
 * mask file gives: E_FORMAT, E_MISMATCH, E_LIMIT, E_IO, E_NOMEM; E_CANCELLED. */
FIL_API FIL_MUSTCHECK fil_status fil_mask_pictures(fil_ctx                         *ctx,
                                                   const fil_mask_pictures_options *options,
                                                   fil_mask_pictures_result        *result);

#ifdef __cplusplus
}
#endif

#endif
