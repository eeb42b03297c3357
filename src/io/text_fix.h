/* io/text_fix.h: a text as code points, and the steps of the cleaning that work on it.
 *
 * Shared by text_clean.c and the text_*.c beside it; nobody else includes it.
 */
#ifndef FILI_IO_TEXT_FIX_H
#define FILI_IO_TEXT_FIX_H

#include <stdbool.h>

#include "base/ctx.h"
#include "io/text_tables.h"

/* Code points, or bytes while an encoding is being undone. Grows; {.ctx = ctx} is empty. */
typedef struct fili_text {
    fil_ctx  *ctx;
    uint32_t *c;
    size_t    n, max;
} fili_text;

void fili_text_fini(fili_text *t);

FIL_MUSTCHECK fil_status fili_text_add(fili_text *t, uint32_t code);
FIL_MUSTCHECK fil_status fili_text_add_all(fili_text *t, const uint32_t *c, size_t n);
FIL_MUSTCHECK fil_status fili_text_add_utf8(fili_text *t, const char *text, size_t bytes);

bool fili_text_same(const fili_text *a, const fili_text *b);
void fili_text_swap(fili_text *a, fili_text *b);

/* Python's str.isspace for one code point, and what a regular expression means by \s. */
bool fili_text_is_space(uint32_t code);

/* Each step reads `in` and appends to `out`, which is empty and another text. */

/* html.unescape: the rules of browsers: names without semicolon, longest prefix. */
FIL_MUSTCHECK fil_status fili_text_unescape(const fili_text *in, fili_text *out);
/* The careful form of ftfy: complete references only, names in capitals too. */
FIL_MUSTCHECK fil_status fili_text_unescape_strict(const fili_text *in, fili_text *out);

/* Unicode normalization form C. */
FIL_MUSTCHECK fil_status fili_text_compose(const fili_text *in, fili_text *out);

/* Undoes decodings with a wrong encoding, as often as they happened. */
FIL_MUSTCHECK fil_status fili_text_fix_encoding(const fili_text *in, fili_text *out);
/* C1 controls are what Windows-1252 has in their place. Works in place. */
void fili_text_fix_c1(fili_text *t);

#endif
