/* engine/batch.h: what the runs of fil_generate_many share: the text encoder, and then the
 * transformer, which stay open from one to the next.
 */
#ifndef FILI_ENGINE_BATCH_H
#define FILI_ENGINE_BATCH_H

#include "engine/disk_room.h"
#include "io/tokenizer.h"
#include "wan/dit.h"
#include "wan/umt5.h"

/* The text encoder of a model, open or not. */
typedef struct fili_text {
    fili_weights *weights;
    fili_umt5    *umt5;
} fili_text;

void fili_text_close(fili_text *text); /* idempotent */

typedef struct fili_batch {
    int32_t  context_rows; /* of the longest prompt */
    uint64_t rows_bytes;   /* of all prompts */
    bool     keeps;        /* the transformer stays open while frames are decoded */
    uint64_t held;         /* of the context's memory, by what the batch has now */

    /* Called while a run has the tokenizer open: cuts the prompts of the others, too. */
    void (*cut)(void *user, fili_tokenizer *tokenizer);
    void                     *user;
    const struct fili_prompt *known; /* [2] of the run that is opened next, if cut before */

    fili_disks *disks; /* what its runs take of each, while all are checked; NULL: each by itself */

    fili_text     text;    /* while prompts are read */
    fili_dit     *dit;     /* NULL: none is open */
    fili_weights *weights; /* that it was opened with */
} fili_batch;

/* The open transformer, with the hooks of `options`, or NULL if it is not what they ask for; then
 * none is open any more. The batch goes on owning it. */
fili_dit *fili_batch_take(fili_batch *batch, const fili_dit_options *options);
void      fili_batch_close(fili_batch *batch); /* idempotent */

#endif
