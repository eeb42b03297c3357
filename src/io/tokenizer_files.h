/* io/tokenizer_files.h: what lies beside spiece.model and matters to the ids.
 *
 * tokenizer_config.json: the added tokens, which are recognised literally in a prompt.
 * tokenizer.json: whether unknown characters become byte pieces. It is read piece by piece for that
 * one word: with its 256,000 pieces it is too large to be worth a tree.
 */
#ifndef FILI_IO_TOKENIZER_FILES_H
#define FILI_IO_TOKENIZER_FILES_H

#include "base/arena.h"

typedef struct fili_special {
    const char *text; /* NUL-terminated, not empty */
    uint32_t    bytes;
    int32_t     id;
} fili_special;

/* Both: `dir` is open; a file that is not there is no failure. */

/* Added tokens, in the arena; *n = 0 and *present = false if there is no file. E_FORMAT, E_LIMIT,
 * E_IO, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_added_tokens_read(fil_ctx *ctx, int dir, fili_arena *arena,
                                                fili_special **out, size_t *n, bool *present);

/* *bytes_kept: the file says byte_fallback: true. E_IO, E_FORMAT. */
FIL_MUSTCHECK fil_status fili_byte_fallback_read(fil_ctx *ctx, int dir, bool *bytes_kept);

#endif
