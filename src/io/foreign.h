/* io/foreign.h: says what a file is that is no safetensors file.
 *
 * People give us pointer files of Git LFS, error pages saved by a download tool, and formats that
 * we do not read. The reader asks here before it complains about a header.
 */
#ifndef FILI_IO_FOREIGN_H
#define FILI_IO_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ctx.h"

#define FILI_SNIFF 64 /* bytes from the beginning of a file that are enough */

/* True if the file is a zip archive (a PyTorch checkpoint since version 1.6). */
bool fili_is_zip(const unsigned char *head, size_t bytes);

/* True if the file is a GGUF, of whatever version. */
bool fili_is_gguf(const unsigned char *head, size_t bytes);

/* Fails with a sentence that names what `head` looks like, or gives FIL_OK if it looks like nothing
 * known. Only for a head that cannot be that of a safetensors file. */
FIL_MUSTCHECK fil_status fili_explain_foreign(fil_ctx *ctx, const unsigned char *head,
                                              size_t bytes);

#endif
