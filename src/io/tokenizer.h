/* io/tokenizer.h: a prompt into the token ids that the text encoder takes (UMT5's tokenizer).
 *
 *   text -> cleaned (text_clean.h) -> literal specials cut out -> sentencepiece unigram on each
 *   stretch between them -> unknown runs as one id -> </s> -> at most 512 ids
 *
 * The ids are those of the reference pipeline, which uses the "fast" tokenizer of the transformers
 * library, version 4: a run of unknown characters is one id 3 where the sentencepiece library alone
 * gives byte pieces (tokenizer.json may say otherwise: byte_fallback), and `</s>`, `<pad>`,
 * `<extra_id_3>` and their like typed in a prompt become their single id. Each stretch between two
 * of them is a text of its own. Specification "wan", section 12.
 * spiece.model is untrusted: its structure is checked (spiece_check.h) before the library sees it.
 * Does not pad, adds no <s>, and reads unigram models only. One oddity of the fast tokenizer is not
 * imitated: it loses a combining mark behind a character that has a replacement, where both are
 * shorter than six bytes ("…" with an accent).
 */
#ifndef FILI_IO_TOKENIZER_H
#define FILI_IO_TOKENIZER_H

#include "base/ctx.h"

#define FILI_TOKENIZER_MAX 512 /* ids of a prompt, the closing one included */

typedef struct fili_tokenizer fili_tokenizer;

/* path: spiece.model, or a folder that holds it. What lies beside it is used if it is there:
 * tokenizer_config.json (added tokens) and tokenizer.json (byte_fallback). E_IO: no such file;
 * E_FORMAT: not a sentencepiece model, or a broken one; E_LIMIT; E_NOMEM; E_UNSUP: a model that is
 * not unigram, or a build without sentencepiece. On failure *out is NULL. */
FIL_MUSTCHECK fil_status fili_tokenizer_open(fil_ctx *ctx, const char *path, fili_tokenizer **out);

/* The same from the bytes of a spiece.model, as single-file checkpoints carry it; borrowed for the
 * call. `name` is for messages. */
FIL_MUSTCHECK fil_status fili_tokenizer_open_bytes(fil_ctx *ctx, const char *name,
                                                   const void *model, size_t bytes,
                                                   fili_tokenizer **out);

/* NULL and a NULL handle are accepted; sets *t to NULL. */
void fili_tokenizer_close(fili_tokenizer **t);

/* ids[FILI_TOKENIZER_MAX]; *n >= 1 of them, the last one </s>. *truncated (may be NULL): ids that
 * were cut off, 0 if the prompt fits. text: NUL-terminated; broken UTF-8 is E_ARG. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_tokenizer_ids(fili_tokenizer *t, const char *text, int32_t *ids,
                                            int32_t *n, int *truncated);

/* The same for a text that has been cleaned already. */
FIL_MUSTCHECK fil_status fili_tokenizer_clean_ids(fili_tokenizer *t, const char *clean,
                                                  int32_t *ids, int32_t *n, int *truncated);

/* One past the largest id that it can give: the encoder's vocabulary must be at least that. */
int32_t fili_tokenizer_size(const fili_tokenizer *t);

#endif
