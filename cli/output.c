/* cli/output.c: escaping and writing (cli/output.h).
 *
 * Plain ASCII goes out in runs, the rest character by character: a listing of 65,536 tensors is
 * bound by the terminal or the pipe, not by this file.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "output.h"

static void write_bytes(cli_out *out, const char *p, size_t n)
{
    if (out->error != 0) return;
    errno = 0;
    if (fwrite(p, 1, n, out->stream) != n) out->error = errno != 0 ? errno : EIO;
}

void cli_put(cli_out *out, const char *text)
{
    write_bytes(out, text, strlen(text));
}

void cli_putf(cli_out *out, const char *format, ...)
{
    if (out->error != 0) return;
    va_list args;
    va_start(args, format);
    errno       = 0;
    const int n = vfprintf(out->stream, format, args);
    va_end(args);
    if (n < 0) out->error = errno != 0 ? errno : EIO;
}

void cli_pad(cli_out *out, size_t columns)
{
    static const char blanks[] = "                                ";
    const size_t      most     = sizeof blanks - 1;
    for (; columns > most; columns -= most)
        write_bytes(out, blanks, most);
    write_bytes(out, blanks, columns);
}

int cli_out_finish(cli_out *out)
{
    errno = 0;
    if (fflush(out->stream) != 0 && out->error == 0) out->error = errno != 0 ? errno : EIO;
    return out->error;
}

/* ---- characters ----------------------------------------------------------------------------- */

/* One character: its code point (U+FFFD for a broken byte) and the bytes it takes. */
typedef struct character {
    uint32_t code;
    size_t   bytes;
} character;

static character broken(void)
{
    return (character){.code = 0xfffd, .bytes = 1};
}

/* Strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. n > 0. */
static character decode(const char *text, size_t n)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char  *p        = (const unsigned char *)text;
    if (p[0] < 0x80) return (character){.code = p[0], .bytes = 1};
    const size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    if (length == 0 || length > n || p[0] > 0xf4) return broken();
    uint32_t code = p[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) return broken();
        code = code << 6 | (p[i] & 0x3fu);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return broken();
    return (character){.code = code, .bytes = length};
}

/* Controls, and characters that are not seen but change what is: bidirectional marks and
 * overrides, zero-width and separator characters, byte order mark, annotations, tags. */
static bool is_unsafe(uint32_t c)
{
    static const uint32_t range[][2] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof range / sizeof range[0]; i++)
        if (c >= range[i][0] && c <= range[i][1]) return true;
    return false;
}

enum { PIECE = 16 }; /* two \uXXXX and a NUL fit */

/* The escape of a character, or an empty piece if it goes out as it is. */
static void escape(char piece[PIECE], uint32_t c, cli_escape how)
{
    static const char from[] = "\b\t\n\f\r\"\\";
    static const char to[]   = "btnfr\"\\";
    const char       *at     = c != 0 && c < 0x80 ? strchr(from, (int)c) : NULL;
    const bool        quotes = c == '"' || c == '\\';
    piece[0]                 = '\0';
    if (at != NULL && (how == CLI_JSON || !quotes))
        snprintf(piece, PIECE, "\\%c", to[at - from]);
    else if (!is_unsafe(c))
        return;
    else if (c < 0x10000)
        snprintf(piece, PIECE, "\\u%04x", (unsigned)c);
    else
        snprintf(piece, PIECE, "\\u%04x\\u%04x", (unsigned)(0xd7c0 + (c >> 10)),
                 (unsigned)(0xdc00 + (c & 0x3ff)));
}

static size_t plain_run(const char *text, size_t n, cli_escape how)
{
    size_t i = 0;
    while (i < n && text[i] >= 0x20 && text[i] < 0x7f &&
           (how == CLI_SHOWN || (text[i] != '"' && text[i] != '\\')))
        i++;
    return i;
}

/* Escapes text and counts its columns; out may be NULL (count only). */
static size_t walk(cli_out *out, const char *text, size_t bytes, cli_escape how, size_t max_columns,
                   size_t *columns)
{
    size_t i = 0;
    *columns = 0;
    while (i < bytes && *columns < max_columns) {
        size_t run = plain_run(text + i, bytes - i, how);
        if (run > max_columns - *columns) run = max_columns - *columns;
        if (run > 0) {
            if (out != NULL) write_bytes(out, text + i, run);
            i += run;
            *columns += run;
            continue;
        }
        const character c = decode(text + i, bytes - i);
        char            piece[PIECE];
        escape(piece, c.code, how);
        const size_t width = piece[0] != '\0' ? strlen(piece) : 1;
        if (width > max_columns - *columns) break;
        if (out != NULL && piece[0] != '\0')
            write_bytes(out, piece, width);
        else if (out != NULL && c.code == 0xfffd)
            write_bytes(out, "\xef\xbf\xbd", 3);
        else if (out != NULL)
            write_bytes(out, text + i, c.bytes);
        i += c.bytes;
        *columns += width;
    }
    return i;
}

size_t cli_put_escaped(cli_out *out, const char *text, size_t bytes, cli_escape how,
                       size_t max_columns)
{
    size_t columns;
    return walk(out, text, bytes, how, max_columns, &columns);
}

size_t cli_width(const char *text)
{
    size_t columns;
    walk(NULL, text, strlen(text), CLI_SHOWN, SIZE_MAX, &columns);
    return columns;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

void cli_json_open(cli_out *out, const char *type)
{
    cli_put(out, "{\"type\":\"");
    cli_put(out, type);
    cli_put(out, "\"");
}

static void put_key(cli_out *out, const char *key)
{
    cli_put(out, ",\"");
    cli_put(out, key);
    cli_put(out, "\":");
}

void cli_json_text(cli_out *out, const char *key, const char *value)
{
    cli_json_joined(out, key, "", 0, value);
}

void cli_json_joined(cli_out *out, const char *key, const char *prefix, size_t prefix_bytes,
                     const char *value)
{
    put_key(out, key);
    cli_put(out, "\"");
    cli_put_escaped(out, prefix, prefix_bytes, CLI_JSON, SIZE_MAX);
    cli_put_escaped(out, value, strlen(value), CLI_JSON, SIZE_MAX);
    cli_put(out, "\"");
}

void cli_json_number(cli_out *out, const char *key, uint64_t value)
{
    put_key(out, key);
    cli_putf(out, "%llu", (unsigned long long)value);
}

void cli_json_real(cli_out *out, const char *key, double value)
{
    put_key(out, key);
    if (isfinite(value))
        cli_putf(out, "%.6g", value);
    else
        cli_put(out, "null");
}

void cli_json_bool(cli_out *out, const char *key, bool value)
{
    put_key(out, key);
    cli_put(out, value ? "true" : "false");
}

void cli_json_array(cli_out *out, const char *key, const int64_t *values, size_t n)
{
    put_key(out, key);
    cli_put(out, "[");
    for (size_t i = 0; i < n; i++)
        cli_putf(out, i == 0 ? "%lld" : ",%lld", (long long)values[i]);
    cli_put(out, "]");
}

void cli_json_texts(cli_out *out, const char *key, const char *const *values, size_t n)
{
    put_key(out, key);
    for (size_t i = 0; i < n; i++) {
        cli_put(out, i == 0 ? "[\"" : ",\"");
        cli_put_escaped(out, values[i], strlen(values[i]), CLI_JSON, SIZE_MAX);
        cli_put(out, "\"");
    }
    cli_put(out, n == 0 ? "[]" : "]");
}

void cli_json_item(cli_out *out, const char *list, const char *key, uint64_t number)
{
    if (number == 0) put_key(out, list);
    cli_putf(out, "%s{\"%s\":%llu", number == 0 ? "[" : "},", key, (unsigned long long)number);
}

void cli_json_items_end(cli_out *out, const char *list, uint64_t n)
{
    if (n == 0) put_key(out, list);
    cli_put(out, n == 0 ? "[]" : "}]");
}

void cli_json_close(cli_out *out)
{
    cli_put(out, "}\n");
}

const char *cli_human(char *text, uint64_t bytes)
{
    static const char *const unit[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) {
        snprintf(text, CLI_HUMAN, "%u byte%s", (unsigned)bytes, bytes == 1 ? "" : "s");
        return text;
    }
    double value = (double)bytes / 1024;
    size_t u     = 0;
    for (; value >= 1023.995 && u + 1 < sizeof unit / sizeof unit[0]; u++)
        value /= 1024;
    snprintf(text, CLI_HUMAN, "%.2f %s", value, unit[u]);
    return text;
}

static size_t add(char *text, size_t size, size_t at, const char *piece, int bytes)
{
    if (at < size) snprintf(text + at, size - at, "%.*s", bytes, piece);
    return at + (size_t)bytes;
}

const char *cli_shell_word(char *text, size_t size, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "%+,-./:=@_";
    const size_t      bytes   = strlen(word);
    size_t            n       = 0;
    if (bytes > 0 && strspn(word, plain) == bytes) {
        snprintf(text, size, "%s", word);
        return text;
    }
    n = add(text, size, n, "'", 1);
    for (const char *c = word; *c != '\0'; c++)
        n = *c == '\'' ? add(text, size, n, "'\\''", 4) : add(text, size, n, c, 1);
    (void)add(text, size, n, "'", 1);
    return text;
}
