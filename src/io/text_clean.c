/* io/text_clean.c: the cleaning of a prompt (text_clean.h): the order of the steps, and the short
 * ones among them. The long ones: text_html.c, text_mojibake.c, text_nfc.c.
 */
#include <string.h>

#include "base/mem.h"
#include "io/text_clean.h"
#include "io/text_fix.h"

/* A text that still changes after so many rounds was made to; what it is by then is taken. */
enum { ROUNDS = 64 };

/* ---- texts ---------------------------------------------------------------------------------- */

void fili_text_fini(fili_text *t)
{
    fili_free(t->ctx, t->c, t->max * sizeof *t->c);
    t->c   = NULL;
    t->n   = 0;
    t->max = 0;
}

static fil_status make_room(fili_text *t, size_t more)
{
    if (more <= t->max - t->n) return FIL_OK;
    size_t max = t->max < 64 ? 64 : t->max;
    while (max - t->n < more)
        max *= 2; /* texts are bounded by FILI_TEXT_MAX and what an entity can grow to */
    void *block = t->c;
    FIL_TRY(fili_grow(t->ctx, &block, t->max * sizeof *t->c, max * sizeof *t->c, "a prompt"));
    t->c   = block;
    t->max = max;
    return FIL_OK;
}

fil_status fili_text_add(fili_text *t, uint32_t code)
{
    if (t->n == t->max) FIL_TRY(make_room(t, 1));
    t->c[t->n++] = code;
    return FIL_OK;
}

fil_status fili_text_add_all(fili_text *t, const uint32_t *c, size_t n)
{
    if (n == 0) return FIL_OK;
    FIL_TRY(make_room(t, n));
    memcpy(t->c + t->n, c, n * sizeof *c);
    t->n += n;
    return FIL_OK;
}

fil_status fili_text_add_utf8(fili_text *t, const char *text, size_t bytes)
{
    const unsigned char *p   = (const unsigned char *)text;
    const unsigned char *end = p + bytes;
    while (p < end) {
        const int length = fili_utf8_length(p, (size_t)(end - p));
        if (length <= 0)
            return FIL_FAIL(t->ctx, FIL_E_ARG, "the prompt is not UTF-8 at byte %zu",
                            (size_t)(p - (const unsigned char *)text));
        uint32_t code = length == 1 ? p[0] : p[0] & (0x7fu >> length);
        for (int i = 1; i < length; i++)
            code = code << 6 | (p[i] & 0x3fu);
        FIL_TRY(fili_text_add(t, code));
        p += length;
    }
    return FIL_OK;
}

bool fili_text_same(const fili_text *a, const fili_text *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->c, b->c, a->n * sizeof *a->c) == 0);
}

void fili_text_swap(fili_text *a, fili_text *b)
{
    const fili_text kept = *a;
    *a                   = *b;
    *b                   = kept;
}

bool fili_text_is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

/* ---- short steps ---------------------------------------------------------------------------- */

static const char *replacement_of(const fili_text_replacement *table, size_t n, uint32_t code)
{
    size_t low = 0;
    while (low < n) {
        const size_t middle = low + (n - low) / 2;
        if (table[middle].code == code) return table[middle].text;
        if (table[middle].code < code)
            low = middle + 1;
        else
            n = middle;
    }
    return NULL;
}

static fil_status replace(const fili_text_replacement *table, size_t n, const fili_text *in,
                          fili_text *out)
{
    for (size_t i = 0; i < in->n; i++) {
        const char *text = in->c[i] < table[0].code ? NULL : replacement_of(table, n, in->c[i]);
        if (text != NULL)
            FIL_TRY(fili_text_add_utf8(out, text, strlen(text)));
        else
            FIL_TRY(fili_text_add(out, in->c[i]));
    }
    return FIL_OK;
}

static fil_status fix_ligatures(const fili_text *in, fili_text *out)
{
    return replace(fili_text_ligatures, fili_text_ligatures_count, in, out);
}

/* Full-width ASCII and the ideographic space become ASCII; half-width forms become whole ones. */
static fil_status fix_width(const fili_text *in, fili_text *out)
{
    FIL_TRY(replace(fili_text_widths, fili_text_widths_count, in, out));
    for (size_t i = 0; i < out->n; i++)
        if (out->c[i] >= 0xff01 && out->c[i] <= 0xff5e) out->c[i] -= 0xfee0;
    return FIL_OK;
}

static void uncurl_quotes(fili_text *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const uint32_t c = t->c[i];
        if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) t->c[i] = '\'';
        if (c >= 0x201c && c <= 0x201f) t->c[i] = '"';
    }
}

static void fix_line_ends(fili_text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        const uint32_t c = t->c[i];
        if (c == '\r' && i + 1 < t->n && t->c[i + 1] == '\n') continue;
        const bool ends = c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85;
        t->c[n++]       = ends ? '\n' : c;
    }
    t->n = n;
}

/* The reference takes digits of any script here; no terminal does. */
static bool is_parameter(uint32_t c)
{
    return (c >= '0' && c <= '9') || c == ';';
}

/* ESC [ numbers letter. */
static void remove_terminal_escapes(fili_text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t end = i + 2;
        if (t->c[i] == 0x1b && i + 1 < t->n && t->c[i + 1] == '[') {
            while (end < t->n && is_parameter(t->c[end]))
                end++;
            const uint32_t letter = end < t->n ? t->c[end] | 0x20 : 0;
            if (letter >= 'a' && letter <= 'z') {
                i = end;
                continue;
            }
        }
        t->c[n++] = t->c[i];
    }
    t->n = n;
}

static bool is_control(uint32_t c)
{
    return c < 0x09 || c == 0x0b || (c >= 0x0e && c < 0x20) || c == 0x7f ||
           (c >= 0x206a && c < 0x2070) || c == 0xfeff || (c >= 0xfff9 && c < 0xfffd);
}

static void remove_controls(fili_text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++)
        if (!is_control(t->c[i])) t->c[n++] = t->c[i];
    t->n = n;
}

/* ---- the order of things -------------------------------------------------------------------- */

typedef fil_status (*step_fn)(const fili_text *in, fili_text *out);

static fil_status apply(step_fn step, fili_text *t, fili_text *spare)
{
    spare->n = 0;
    FIL_TRY(step(t, spare));
    fili_text_swap(t, spare);
    return FIL_OK;
}

static fil_status one_round(fili_text *t, fili_text *spare, bool entities)
{
    if (entities) FIL_TRY(apply(fili_text_unescape_strict, t, spare));
    FIL_TRY(apply(fili_text_fix_encoding, t, spare));
    fili_text_fix_c1(t);
    FIL_TRY(apply(fix_ligatures, t, spare));
    FIL_TRY(apply(fix_width, t, spare));
    uncurl_quotes(t);
    fix_line_ends(t);
    remove_terminal_escapes(t);
    remove_controls(t);
    return apply(fili_text_compose, t, spare);
}

typedef struct cleaning {
    fili_text whole, line, spare, before, done;
} cleaning;

/* One line, until nothing changes. */
static fil_status fix_line(cleaning *w, bool entities)
{
    for (int round = 0; round < ROUNDS; round++) {
        w->before.n = 0;
        FIL_TRY(fili_text_add_all(&w->before, w->line.c, w->line.n));
        FIL_TRY(one_round(&w->line, &w->spare, entities));
        if (fili_text_same(&w->line, &w->before)) break;
    }
    return fili_text_add_all(&w->done, w->line.c, w->line.n);
}

/* Line by line; from the first line with a '<' on, the text is taken for HTML that is meant so. */
static fil_status fix_lines(cleaning *w)
{
    bool entities = true;
    for (size_t i = 0; i < w->whole.n;) {
        size_t end = i;
        while (end < w->whole.n && w->whole.c[end] != '\n') {
            if (w->whole.c[end] == '<') entities = false;
            end++;
        }
        if (end < w->whole.n) end++;
        w->line.n = 0;
        FIL_TRY(fili_text_add_all(&w->line, w->whole.c + i, end - i));
        FIL_TRY(fix_line(w, entities));
        i = end;
    }
    return FIL_OK;
}

static void collapse_spaces(fili_text *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (!fili_text_is_space(t->c[i]))
            t->c[n++] = t->c[i];
        else if (n > 0 && t->c[n - 1] != ' ')
            t->c[n++] = ' ';
    }
    if (n > 0 && t->c[n - 1] == ' ') n--;
    t->n = n;
}

static size_t put_utf8(unsigned char *to, uint32_t c)
{
    const size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (length == 1) {
        to[0] = (unsigned char)c;
        return 1;
    }
    for (size_t i = length - 1; i > 0; i--, c >>= 6)
        to[i] = (unsigned char)(0x80 | (c & 0x3f));
    to[0] = (unsigned char)(0xf00u >> length | c);
    return length;
}

/* What is given out carries its size in front, for fili_text_free. */
typedef struct given {
    size_t bytes;
    char   text[];
} given;

static fil_status give(const fili_text *t, char **out)
{
    void        *block;
    const size_t bytes = sizeof(given) + 4 * t->n + 1;
    FIL_TRY(fili_alloc(t->ctx, bytes, "a prompt", &block));
    given *g = block;
    size_t n = 0;
    g->bytes = bytes;
    for (size_t i = 0; i < t->n; i++)
        n += put_utf8((unsigned char *)g->text + n, t->c[i]);
    g->text[n] = '\0';
    *out       = g->text;
    return FIL_OK;
}

static fil_status clean(cleaning *w, const char *text, char **out)
{
    const size_t bytes = strlen(text);
    if (bytes > FILI_TEXT_MAX)
        return FIL_FAIL(w->whole.ctx, FIL_E_LIMIT, "the prompt has %zu bytes; at most %zu", bytes,
                        FILI_TEXT_MAX);
    FIL_TRY(fili_text_add_utf8(&w->whole, text, bytes));
    FIL_TRY(fix_lines(w));
    FIL_TRY(apply(fili_text_unescape, &w->done, &w->spare));
    FIL_TRY(apply(fili_text_unescape, &w->done, &w->spare));
    collapse_spaces(&w->done);
    return give(&w->done, out);
}

fil_status fili_text_clean(fil_ctx *ctx, const char *text, char **out)
{
    cleaning w              = {.whole  = {.ctx = ctx},
                               .line   = {.ctx = ctx},
                               .spare  = {.ctx = ctx},
                               .before = {.ctx = ctx},
                               .done   = {.ctx = ctx}};
    *out                    = NULL;
    const fil_status status = clean(&w, text, out);
    fili_text_fini(&w.whole);
    fili_text_fini(&w.line);
    fili_text_fini(&w.spare);
    fili_text_fini(&w.before);
    fili_text_fini(&w.done);
    return status;
}

void fili_text_free(fil_ctx *ctx, char *text)
{
    if (text == NULL) return;
    given *g = (given *)(void *)(text - offsetof(given, text));
    fili_free(ctx, g, g->bytes);
}
