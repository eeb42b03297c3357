/* io/text_clean.h: the cleaning of a prompt before it is cut into tokens.
 *
 * What the official code does: ftfy.fix_text (version 6.3, its default settings), HTML unescaped
 * twice, runs of white space to one space, the ends trimmed. The effect of ftfy, in its order and
 * until nothing changes: entities (unless the line has a '<'), mojibake, C1 controls, Latin
 * ligatures, character width, curly quotes, line ends, terminal escapes, control characters, NFC.
 * Written anew from the description of what it does; tables: tools/make_text_tables.py.
 */
#ifndef FILI_IO_TEXT_CLEAN_H
#define FILI_IO_TEXT_CLEAN_H

#include "base/ctx.h"

/* Longest prompt, in bytes: the ids of anything longer are cut off long before its end. */
#define FILI_TEXT_MAX ((size_t)1000000)

/* *out: NUL-terminated, to be freed with fili_text_free. text: NUL-terminated UTF-8 (E_ARG if it is
 * broken), at most FILI_TEXT_MAX bytes (E_LIMIT). E_NOMEM. */
FIL_MUSTCHECK fil_status fili_text_clean(fil_ctx *ctx, const char *text, char **out);
void                     fili_text_free(fil_ctx *ctx, char *text);

#endif
