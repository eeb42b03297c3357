/* io/spiece_check.h: a spiece.model looked through before the sentencepiece library gets it.
 *
 * The library trusts its models: a broken table of character replacements makes it read outside of
 * its memory, a piece of a million bytes overflows the stack. So everything that it follows without
 * looking is checked here: the structure of the protobuf, pieces (UTF-8, length, score, type), the
 * trie of replacements and the texts that it points to. Specification "wan", section 12.1.
 */
#ifndef FILI_IO_SPIECE_CHECK_H
#define FILI_IO_SPIECE_CHECK_H

#include "base/ctx.h"

typedef enum fili_piece_type {
    FILI_PIECE_NORMAL = 1,
    FILI_PIECE_UNKNOWN,
    FILI_PIECE_CONTROL,
    FILI_PIECE_USER,
    FILI_PIECE_UNUSED,
    FILI_PIECE_BYTE
} fili_piece_type;

typedef struct fili_piece {
    const char *text; /* in the model's bytes, not terminated */
    uint32_t    bytes;
    uint8_t     type;
} fili_piece;

typedef struct fili_spiece {
    fili_piece *pieces; /* by id */
    int32_t     n_pieces;
    int32_t     unk, eos; /* ids */
} fili_spiece;

/* `name` is for messages. The pieces borrow `model`. E_FORMAT: not such a model, or broken;
 * E_UNSUP: not a unigram model; E_LIMIT; E_NOMEM. Safe to fini after a failure. */
FIL_MUSTCHECK fil_status fili_spiece_check(fil_ctx *ctx, const char *name, const void *model,
                                           size_t bytes, fili_spiece *out);
void                     fili_spiece_fini(fil_ctx *ctx, fili_spiece *s);

#endif
