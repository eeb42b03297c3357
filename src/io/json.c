/* io/json.c: a JSON text into a jansson tree (contract: io/json.h).
 *
 * One loop over the bytes and a stack of eight containers; nothing recurses. jansson keeps the
 * tree, with seeded hashing, but does not read the text: its lexer (2.14, load.c, lex_save)
 * ignores a failed allocation, loses the byte, and may then run past the token or hit an assert.
 * Its value functions report every failure, so only they are used. Grammar: RFC 8259.
 * Does not write JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "io/json.h"

/* What jansson 2.14 takes from the heap on a 64-bit machine, as an upper bound. HEAP(n) is the most
 * that glibc takes for n bytes: 8 of its own, rounded up to 16, at least 32.
 *   object  json_object_t 72, and 8 buckets of 16
 *   array   json_array_t 40, and 8 slots of 8
 *   member  pair 56 + key + NUL; up to 2 buckets, and 1 more while the table moves: 3 x 16
 *   element a slot doubled, and the old one while it moves: 3 x 8
 *   string  json_string_t 32, and its bytes + NUL
 *   number  24; literals are static. */
#define HEAP(n)      ((uint64_t)(n) + 32)
#define COST_OBJECT  (HEAP(72) + HEAP(128))
#define COST_ARRAY   (HEAP(40) + HEAP(64))
#define COST_MEMBER  (HEAP(57) + 48)
#define COST_ELEMENT 24u
#define COST_STRING  (HEAP(32) + HEAP(1))
#define COST_NUMBER  HEAP(24)

/* Reservations are made in steps, so that a small value costs no call. */
#define RESERVE_STEP 4096u

#define MAX_NUMBER   64 /* characters of one number */

typedef struct buffer {
    char  *data;
    size_t size;
} buffer;

typedef struct slice {
    const char *data;
    size_t      bytes;
} slice;

typedef struct parser {
    fil_ctx    *ctx;
    const char *what;
    const char *begin, *p, *end;
    uint64_t    max_values, n_values;
    int         flags;
    int         depth;
    json_t     *stack[FILI_JSON_DEPTH]; /* borrowed from the tree */
    fili_json  *json;
    uint64_t    left;               /* reserved and not yet used */
    slice       key;                /* of the member being read */
    buffer      key_room, str_room; /* texts with escapes are decoded here */
} parser;

/* ---- failures ------------------------------------------------------------------------------- */

static size_t line_of(const parser *ps, const char *at)
{
    size_t line = 1;
    for (const char *p = ps->begin; p < at; p++)
        line += *p == '\n';
    return line;
}

static fil_status bad(const parser *ps, const char *at, const char *why)
{
    return FIL_FAIL(ps->ctx, FIL_E_FORMAT, "%s is not valid JSON: %s at byte %zu (line %zu)",
                    ps->what, why, (size_t)(at - ps->begin), line_of(ps, at));
}

static fil_status unexpected(const parser *ps, const char *expected)
{
    if (ps->p == ps->end)
        return FIL_FAIL(ps->ctx, FIL_E_FORMAT,
                        "%s is not valid JSON: it ends after %zu bytes, %s was expected", ps->what,
                        (size_t)(ps->end - ps->begin), expected);
    const fili_quoted found = fili_quote(ps->p, 1);
    return FIL_FAIL(ps->ctx, FIL_E_FORMAT,
                    "%s is not valid JSON: expected %s, found '%s' at byte %zu (line %zu)",
                    ps->what, expected, found.text, (size_t)(ps->p - ps->begin),
                    line_of(ps, ps->p));
}

static fil_status no_memory(const parser *ps)
{
    return FIL_FAIL(ps->ctx, FIL_E_NOMEM, "%s: the allocator has no memory for its JSON tree",
                    ps->what);
}

static fil_status charge(parser *ps, uint64_t bytes)
{
    if (bytes > ps->left) {
        const uint64_t step = bytes > RESERVE_STEP ? bytes : RESERVE_STEP;
        FIL_TRY(fili_mem_reserve(ps->ctx, step, ps->what));
        ps->json->reserved += step;
        ps->left += step;
    }
    ps->left -= bytes;
    return FIL_OK;
}

/* ---- strings -------------------------------------------------------------------------------- */

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        const char c     = p[i];
        const int  digit = c >= '0' && c <= '9'   ? c - '0'
                           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                  : -1;
        if (digit < 0) return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* The code point of a \u escape (with its second half, if it is a surrogate) at *p, which is moved
 * behind it; -1 if it is broken. */
static int32_t unicode_escape(const char **p, const char *end)
{
    if (end - *p < 6) return -1;
    const int32_t high = hex4(*p + 2);
    *p += 6;
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') return -1;
    const int32_t low = hex4(*p + 2);
    if (low < 0xdc00 || low > 0xdfff) return -1;
    *p += 6;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static size_t put_utf8(char *dst, int32_t c)
{
    if (c < 0x80) {
        dst[0] = (char)c;
        return 1;
    }
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    for (int i = more; i > 0; i--, c >>= 6)
        dst[i] = (char)(0x80 | (c & 0x3f));
    dst[0] = (char)(c | (more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0));
    return (size_t)more + 1;
}

static char short_escape(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return '\0';
    }
}

/* Moves ps->p behind the closing quote; *text = between the quotes, as written. */
static fil_status scan_string(parser *ps, slice *text, bool *escaped)
{
    const char *p = ++ps->p;
    *escaped      = false;
    for (;;) {
        while (p < ps->end && *p != '"' && *p != '\\' && (unsigned char)*p - 0x20u < 0x60u)
            p++;
        if (p >= ps->end) {
            ps->p = ps->end;
            return unexpected(ps, "the end of a string");
        }
        const unsigned char c = (unsigned char)*p;
        if (c == '"') break;
        if (c == '\\') {
            *escaped = true;
            p += ps->end - p >= 2 ? 2 : 1;
        } else if (c < 0x20) {
            return bad(ps, p, "a control character in a string");
        } else {
            const int n = fili_utf8_length((const unsigned char *)p, (size_t)(ps->end - p));
            if (n <= 0) return bad(ps, p, "a string is not UTF-8");
            p += n;
        }
    }
    *text = (slice){ps->p, (size_t)(p - ps->p)};
    ps->p = p + 1;
    return FIL_OK;
}

static fil_status make_room(parser *ps, buffer *room, size_t bytes)
{
    if (bytes <= room->size) return FIL_OK;
    fili_free(ps->ctx, room->data, room->size);
    room->data = NULL;
    room->size = 0;
    void *block;
    FIL_TRY(fili_alloc(ps->ctx, bytes, ps->what, &block));
    room->data = block;
    room->size = bytes;
    return FIL_OK;
}

/* No escape decodes to more bytes than it is written with, so text.bytes of room are enough. */
static fil_status unescape(parser *ps, buffer *room, slice *text)
{
    FIL_TRY(make_room(ps, room, text->bytes));
    const char *end = text->data + text->bytes;
    size_t      n   = 0;
    for (const char *p = text->data; p < end;) {
        const char *at = p;
        if (*p != '\\') {
            room->data[n++] = *p++;
        } else if (p[1] == 'u') {
            const int32_t c = unicode_escape(&p, end);
            if (c < 0) return bad(ps, at, "a broken \\u escape");
            if (c == 0) return bad(ps, at, "a NUL character in a string");
            n += put_utf8(room->data + n, c);
        } else {
            const char c = short_escape(p[1]);
            if (c == '\0') return bad(ps, at, "an unknown escape");
            room->data[n++] = c;
            p += 2;
        }
    }
    *text = (slice){room->data, n};
    return FIL_OK;
}

static fil_status read_string(parser *ps, buffer *room, slice *text)
{
    bool escaped;
    FIL_TRY(scan_string(ps, text, &escaped));
    return escaped ? unescape(ps, room, text) : FIL_OK;
}

/* ---- numbers -------------------------------------------------------------------------------- */

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* strtod wants the locale's decimal point, which printf tells without touching shared state. */
static double to_double(const char *text, size_t bytes)
{
    char        point[16];
    char        local[MAX_NUMBER + 16];
    const char *dot = memchr(text, '.', bytes);
    if (dot == NULL) {
        snprintf(local, sizeof local, "%.*s", (int)bytes, text);
        return strtod(local, NULL);
    }
    snprintf(point, sizeof point, "%.1f", 0.0);
    const int head = (int)(dot - text);
    snprintf(local, sizeof local, "%.*s%.*s%.*s", head, text, (int)strlen(point) - 2, point + 1,
             (int)bytes - head - 1, dot + 1);
    return strtod(local, NULL);
}

static fil_status read_real(parser *ps, const char *begin, const char *end, json_t **out)
{
    if (end - begin > MAX_NUMBER) return bad(ps, begin, "a number of more than 64 characters");
    const double value = to_double(begin, (size_t)(end - begin));
    if (!(value >= -1.7976931348623157e308 && value <= 1.7976931348623157e308))
        return bad(ps, begin, "a number that no double holds");
    *out = json_real(value);
    return FIL_OK;
}

static fil_status read_integer(parser *ps, const char *begin, const char *end, json_t **out)
{
    const bool negative = *begin == '-';
    uint64_t   value    = 0;
    for (const char *p = begin + negative; p < end; p++)
        if (!fili_mul_u64(value, 10, &value) || !fili_add_u64(value, (uint64_t)(*p - '0'), &value))
            return bad(ps, begin, "an integer outside 0 to 2^63 - 1");
    if (value > INT64_MAX) return bad(ps, begin, "an integer outside 0 to 2^63 - 1");
    *out = json_integer(negative ? -(json_int_t)value : (json_int_t)value);
    return FIL_OK;
}

static fil_status read_number(parser *ps, json_t **out)
{
    const bool  reals  = (ps->flags & FILI_JSON_REALS) != 0;
    const char *begin  = ps->p;
    const char *end    = ps->end;
    const char *first  = begin + (*begin == '-');
    const char *p      = skip_digits(first, end);
    bool        is_int = true;
    if (*begin == '-' && !reals) return bad(ps, begin, "a negative number");
    if (p == first) return bad(ps, begin, "a sign without digits");
    if (*first == '0' && p - first > 1) return bad(ps, begin, "a number with a leading zero");
    if (p < end && (*p == '.' || *p == 'e' || *p == 'E') && !reals)
        return bad(ps, begin, "a number that is no plain integer");
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        p                    = skip_digits(fraction, end);
        if (p == fraction) return bad(ps, begin, "a point without digits");
        is_int = false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        const char *exponent = p + 1;
        if (exponent < end && (*exponent == '+' || *exponent == '-')) exponent++;
        p = skip_digits(exponent, end);
        if (p == exponent) return bad(ps, begin, "an exponent without digits");
        is_int = false;
    }
    FIL_TRY(charge(ps, COST_NUMBER));
    ps->p = p;
    FIL_TRY(is_int ? read_integer(ps, begin, p, out) : read_real(ps, begin, p, out));
    return *out != NULL ? FIL_OK : no_memory(ps);
}

/* ---- values --------------------------------------------------------------------------------- */

static fil_status read_literal(parser *ps, json_t **out)
{
    const size_t left = (size_t)(ps->end - ps->p);
    if (left >= 4 && memcmp(ps->p, "true", 4) == 0) {
        *out = json_true();
        ps->p += 4;
    } else if (left >= 5 && memcmp(ps->p, "false", 5) == 0) {
        *out = json_false();
        ps->p += 5;
    } else if (left >= 4 && memcmp(ps->p, "null", 4) == 0) {
        *out = json_null();
        ps->p += 4;
    } else {
        return unexpected(ps, "a value");
    }
    return FIL_OK;
}

static fil_status read_text(parser *ps, json_t **out)
{
    slice text;
    FIL_TRY(read_string(ps, &ps->str_room, &text));
    FIL_TRY(charge(ps, COST_STRING + text.bytes));
    *out = json_stringn_nocheck(text.data, text.bytes);
    return *out != NULL ? FIL_OK : no_memory(ps);
}

static fil_status count_value(parser *ps)
{
    if (ps->n_values++ < ps->max_values) return FIL_OK;
    return FIL_FAIL(ps->ctx, FIL_E_LIMIT, "%s has more than %llu JSON values", ps->what,
                    (unsigned long long)ps->max_values);
}

/* Takes `value`. It becomes the root, or part of the innermost container. */
static fil_status attach(parser *ps, json_t *value)
{
    if (ps->depth == 0) {
        ps->json->root = value;
        return FIL_OK;
    }
    json_t *parent = ps->stack[ps->depth - 1];
    int     r;
    if (json_is_object(parent))
        r = json_object_setn_new_nocheck(parent, ps->key.data, ps->key.bytes, value);
    else
        r = json_array_append_new(parent, value);
    return r == 0 ? FIL_OK : no_memory(ps);
}

static fil_status open_container(parser *ps)
{
    const bool object = *ps->p == '{';
    if (ps->depth >= FILI_JSON_DEPTH)
        return FIL_FAIL(ps->ctx, FIL_E_LIMIT, "%s nests deeper than %d levels at byte %zu",
                        ps->what, FILI_JSON_DEPTH, (size_t)(ps->p - ps->begin));
    if ((ps->flags & FILI_JSON_FLAT) != 0 && ps->depth > 0 &&
        json_is_array(ps->stack[ps->depth - 1]))
        return FIL_FAIL(ps->ctx, FIL_E_FORMAT, "%s has an %s inside an array at byte %zu", ps->what,
                        object ? "object" : "array", (size_t)(ps->p - ps->begin));
    FIL_TRY(charge(ps, object ? COST_OBJECT : COST_ARRAY));
    json_t *value = object ? json_object() : json_array();
    if (value == NULL) return no_memory(ps);
    FIL_TRY(attach(ps, value));
    ps->stack[ps->depth++] = value;
    ps->p++;
    return FIL_OK;
}

static void skip_space(parser *ps)
{
    while (ps->p < ps->end && (*ps->p == ' ' || *ps->p == '\n' || *ps->p == '\r' || *ps->p == '\t'))
        ps->p++;
}

static fil_status read_value(parser *ps)
{
    json_t    *value = NULL;
    const char c     = ps->p < ps->end ? *ps->p : '\0';
    FIL_TRY(count_value(ps));
    if (c == '{' || c == '[') return open_container(ps);
    if (ps->depth == 0) return unexpected(ps, "'{' or '['");
    if (c == '"')
        FIL_TRY(read_text(ps, &value));
    else if (c == '-' || (c >= '0' && c <= '9'))
        FIL_TRY(read_number(ps, &value));
    else
        FIL_TRY(read_literal(ps, &value));
    return attach(ps, value);
}

static fil_status read_key(parser *ps)
{
    const char *at = ps->p;
    if (ps->p == ps->end || *ps->p != '"') return unexpected(ps, "a key in quotes");
    FIL_TRY(count_value(ps));
    FIL_TRY(read_string(ps, &ps->key_room, &ps->key));
    FIL_TRY(charge(ps, COST_MEMBER + ps->key.bytes));
    if (json_object_getn(ps->stack[ps->depth - 1], ps->key.data, ps->key.bytes) != NULL)
        return FIL_FAIL(ps->ctx, FIL_E_FORMAT, "%s has the key '%s' twice, again at byte %zu",
                        ps->what, fili_quote(ps->key.data, ps->key.bytes).text,
                        (size_t)(at - ps->begin));
    skip_space(ps);
    if (ps->p == ps->end || *ps->p != ':') return unexpected(ps, "':'");
    ps->p++;
    skip_space(ps);
    return FIL_OK;
}

/* One member or element of the innermost container. */
static fil_status read_item(parser *ps)
{
    if (json_is_object(ps->stack[ps->depth - 1]))
        FIL_TRY(read_key(ps));
    else
        FIL_TRY(charge(ps, COST_ELEMENT));
    return read_value(ps);
}

static fil_status read_document(parser *ps)
{
    skip_space(ps);
    FIL_TRY(read_value(ps));
    bool first = true; /* nothing is in the innermost container yet */
    while (ps->depth > 0) {
        const bool object = json_is_object(ps->stack[ps->depth - 1]);
        const int  before = ps->depth;
        skip_space(ps);
        const char c = ps->p < ps->end ? *ps->p : '\0';
        if (c == (object ? '}' : ']')) {
            ps->p++;
            ps->depth--;
            first = false;
            continue;
        }
        if (!first) {
            if (c != ',') return unexpected(ps, object ? "',' or '}'" : "',' or ']'");
            ps->p++;
            skip_space(ps);
        }
        FIL_TRY(read_item(ps));
        first = ps->depth > before;
    }
    skip_space(ps);
    return ps->p == ps->end ? FIL_OK : unexpected(ps, "nothing more");
}

fil_status fili_json_parse(fil_ctx *ctx, const char *what, const char *text, size_t bytes,
                           uint64_t max_values, int flags, fili_json *json)
{
    *json     = (fili_json){.root = NULL};
    parser ps = {.ctx        = ctx,
                 .what       = what,
                 .begin      = text,
                 .p          = text,
                 .end        = text + bytes,
                 .max_values = max_values,
                 .flags      = flags,
                 .json       = json};

    const fil_status status = read_document(&ps);
    fili_free(ctx, ps.key_room.data, ps.key_room.size);
    fili_free(ctx, ps.str_room.data, ps.str_room.size);
    if (status != FIL_OK) fili_json_fini(ctx, json);
    return status;
}

fil_status fili_json_read(fil_ctx *ctx, int dir, const char *path, int open_flags,
                          uint64_t max_values, int flags, fili_json *json)
{
    const uint64_t limit  = ctx->opt.limits.header_bytes;
    fil_status     status = FIL_OK;
    void          *text   = NULL;
    fili_file      file;
    *json = (fili_json){.root = NULL};
    FIL_TRY(fili_file_open(ctx, dir, path, open_flags, &file));
    const fili_quoted name = fili_quote(path, strlen(path));
    if (file.size > limit) {
        status = FIL_FAIL(ctx, FIL_E_LIMIT,
                          "'%s' has %llu bytes; the limit is %llu (limit: header_bytes)", name.text,
                          (unsigned long long)file.size, (unsigned long long)limit);
        goto done;
    }
    if (file.size == 0) {
        status = FIL_FAIL(ctx, FIL_E_FORMAT, "'%s' is empty; expected JSON", name.text);
        goto done;
    }
    FIL_TRY_OR(done, fili_alloc(ctx, (size_t)file.size, name.text, &text));
    FIL_TRY_OR(done, fili_file_read(ctx, &file, 0, text, (size_t)file.size));
    status = fili_json_parse(ctx, name.text, text, (size_t)file.size, max_values, flags, json);
done:
    fili_free(ctx, text, (size_t)file.size);
    fili_file_close(ctx, &file);
    return status;
}

void fili_json_fini(fil_ctx *ctx, fili_json *json)
{
    json_decref(json->root);
    fili_mem_release(ctx, json->reserved);
    *json = (fili_json){.root = NULL};
}

void fili_json_drop(char *text)
{
    json_malloc_t take;
    json_free_t   give;
    json_get_alloc_funcs(&take, &give);
    if (text != NULL) give(text);
}
