/* io/foreign.c: guesses the kind of a file from its first bytes (io/foreign.h). A guess only
 * chooses the sentence of a failure that is certain already; it never decides what is read.
 */
#include <string.h>

#include "io/foreign.h"
#include "io/le.h"

static bool begins(const unsigned char *head, size_t bytes, const char *with)
{
    const size_t n = strlen(with);
    return bytes >= n && memcmp(head, with, n) == 0;
}

bool fili_is_zip(const unsigned char *head, size_t bytes)
{
    /* Byte 8 is part of a number; '{' there means a safetensors header of that length. */
    return (begins(head, bytes, "PK\3\4") || begins(head, bytes, "PK\5\6")) &&
           !(bytes > 8 && head[8] == '{');
}

bool fili_is_gguf(const unsigned char *head, size_t bytes)
{
    /* Read as the length of a safetensors header, magic and version are far above any limit; were
     * the version 0, they might not be. */
    return begins(head, bytes, "GGUF") && (bytes < 8 || fili_le32(head + 4) != 0);
}

/* A pickle without a zip around it: PROTO opcode, protocol 2 to 5. */
static bool is_pickle(const unsigned char *head, size_t bytes)
{
    return bytes >= 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5;
}

static bool is_markup(const unsigned char *head, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && (head[i] == ' ' || head[i] == '\n' || head[i] == '\r' || head[i] == '\t'))
        i++;
    return i + 1 < bytes && head[i] == '<' &&
           (head[i + 1] == '!' || head[i + 1] == '?' || (head[i + 1] | 0x20) == 'h');
}

/* UTF-8 without control characters; a character may be cut off where `head` ends. */
static bool is_text(const unsigned char *head, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        const int length = fili_utf8_length(head + i, bytes - i);
        if (length < 0) break;
        if (length == 0) return false;
        if (head[i] < 0x20 && head[i] != '\n' && head[i] != '\r' && head[i] != '\t') return false;
        i += (size_t)length;
    }
    return bytes >= 8;
}

fil_status fili_explain_foreign(fil_ctx *ctx, const unsigned char *head, size_t bytes)
{
    if (begins(head, bytes, "version https://git-lfs"))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "this is a Git LFS pointer, not the file itself; fetch the real file (git "
                        "lfs pull)");
    if (begins(head, bytes, "GGUF"))
        return FIL_FAIL(ctx, FIL_E_UNSUP, "this is a GGUF file; expected a safetensors file");
    if (is_pickle(head, bytes))
        return FIL_FAIL(ctx, FIL_E_UNSUP,
                        "this is a checkpoint of PyTorch before version 1.6; load it and save it "
                        "again with torch.save of version 1.6 or later");
    if (fili_is_zip(head, bytes))
        return FIL_FAIL(ctx, FIL_E_UNSUP, "this is a zip archive; expected a safetensors file");
    if (is_markup(head, bytes))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "this is a web page (HTML or XML), probably an error page saved instead "
                        "of the file");
    if (bytes > 0 && (head[0] == '{' || head[0] == '[') && is_text(head, bytes))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "this is a JSON text, not a safetensors file; a sharded model's index is "
                        "named *.safetensors.index.json");
    if (is_text(head, bytes))
        return FIL_FAIL(ctx, FIL_E_FORMAT, "this is a text file, not a safetensors file");
    return FIL_OK;
}
