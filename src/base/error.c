/* base/error.c: how a failure gets its text. No allocation, no locale, nothing printed.
 * Contract in base/ctx.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/ctx.h"

static _Thread_local fil_error thread_error = {.function = "", .file = ""};

const fil_error *fili_thread_error(void)
{
    return &thread_error;
}

/* RFC 3629; table 3-7 of the Unicode standard. */
int fili_utf8_length(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80) return 1;
    const int length = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
                       : p[0] >= 0xe0 && p[0] <= 0xef ? 3
                       : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                                      : 0;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= n) return -1;
        unsigned lo = 0x80;
        unsigned hi = 0xbf;
        if (i == 1 && p[0] == 0xe0) lo = 0xa0;
        if (i == 1 && p[0] == 0xed) hi = 0x9f;
        if (i == 1 && p[0] == 0xf0) lo = 0x90;
        if (i == 1 && p[0] == 0xf4) hi = 0x8f;
        if (p[i] < lo || p[i] > hi) return 0;
    }
    return length;
}

/* Of a well-formed character. */
static bool is_control(const unsigned char *p)
{
    return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
}

bool fili_is_printable(const char *text, size_t bytes)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t i = 0; i < bytes;) {
        const int length = fili_utf8_length(p + i, bytes - i);
        if (length <= 0 || is_control(p + i)) return false;
        i += (size_t)length;
    }
    return true;
}

void fili_printable(char *text)
{
    unsigned char *p = (unsigned char *)text;
    for (size_t left = strlen(text); left > 0;) {
        const int    length = fili_utf8_length(p, left);
        const size_t step   = length > 0 ? (size_t)length : 1;
        if (length < 0) {
            *p = '\0';
            return;
        }
        if (length == 0 || is_control(p)) memset(p, '?', step);
        p += step;
        left -= step;
    }
}

fili_quoted fili_quote(const char *name, size_t bytes)
{
    enum { head = 48, tail = 28 };
    fili_quoted q;
    size_t      n = bytes;
    if (bytes < sizeof q.text) {
        memcpy(q.text, name, bytes);
    } else {
        memcpy(q.text, name, head);
        memcpy(q.text + head, "...", 3);
        memcpy(q.text + head + 3, name + bytes - tail, tail);
        n = head + 3 + tail;
    }
    for (size_t i = 0; i < n; i++)
        if (q.text[i] == '\0') q.text[i] = '?';
    q.text[n] = '\0';
    fili_printable(q.text);
    return q;
}

void fili_fail(fil_ctx *ctx, const char *file, int line, const char *function, fil_status status,
               const char *format, ...)
{
    fil_error *e = ctx != NULL ? &ctx->error : &thread_error;
    if (ctx != NULL && e->status != FIL_OK) return; /* the first failure wins */
    va_list args;
    va_start(args, format);
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    fili_printable(e->message);
    e->status   = status;
    e->n_frames = 0;
    e->function = function;
    e->file     = file;
    e->line     = line;
    fili_log(ctx, FIL_LOG_ERROR, "%s", e->message);
}

void fili_error_frame(fil_ctx *ctx, const char *format, ...)
{
    fil_error *e = ctx != NULL ? &ctx->error : &thread_error;
    if (e->status == FIL_OK || e->n_frames >= FIL_ERROR_FRAMES) return;
    va_list args;
    va_start(args, format);
    vsnprintf(e->frame[e->n_frames], sizeof e->frame[0], format, args);
    va_end(args);
    fili_printable(e->frame[e->n_frames]);
    e->n_frames++;
}

void fili_log(fil_ctx *ctx, fil_log_level level, const char *format, ...)
{
    if (ctx == NULL || ctx->opt.log == NULL) return;
    char    text[FIL_ERROR_MESSAGE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fili_printable(text);
    ctx->opt.log(ctx->opt.user, level, text);
}
