/* io/text_html.c: HTML character references into characters, in two manners (text_fix.h).
 *
 * Source: HTML Living Standard, "named character references" and "numeric character reference end
 * state", as Python's html.unescape applies them; the careful manner is ftfy's.
 */
#include <string.h>

#include "io/text_fix.h"

enum {
    LONGEST_NAME   = 32, /* of html.unescape, without the semicolon */
    LONGEST_STRICT = 24
};

/* <0, 0, >0 as the n characters at c stand before, at or behind the name of an entry. */
static int compare_name(const uint32_t *c, size_t n, const char *entry)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t e = (unsigned char)entry[i];
        if (e == '=') return 1;
        if (c[i] != e) return c[i] < e ? -1 : 1;
    }
    return entry[n] == '=' ? 0 : -1;
}

/* The characters that n characters at c are the name of; NULL if they are none. */
static const char *find_name(const char *const *table, size_t count, const uint32_t *c, size_t n)
{
    size_t low = 0;
    while (low < count) {
        const size_t middle = low + (count - low) / 2;
        const int    order  = compare_name(c, n, table[middle]);
        if (order == 0) return table[middle] + n + 1;
        if (order > 0)
            low = middle + 1;
        else
            count = middle;
    }
    return NULL;
}

static const char *find_entity(const uint32_t *c, size_t n)
{
    return find_name(fili_text_entities, fili_text_entities_count, c, n);
}

static int digit_of(uint32_t c)
{
    if (c >= '0' && c <= '9') return (int)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (int)(c - 'a') + 10 : 99;
}

static fil_status add_number(fili_text *out, uint32_t number)
{
    if (number == 0) number = 0xfffd;
    if (number >= 0x80 && number < 0xa0)
        return fili_text_add(out, fili_text_c1_references[number - 0x80]);
    if ((number >= 0xd800 && number < 0xe000) || number > 0x10ffff)
        return fili_text_add(out, 0xfffd);
    const int dropped =
        (number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r') ||
        number == 0x7f || (number >= 0xfdd0 && number < 0xfdf0) || (number & 0xfffe) == 0xfffe;
    return dropped ? FIL_OK : fili_text_add(out, number);
}

/* At c: what follows "&#". *used = characters of a number, without semicolon; 0 = there is none. */
static uint32_t read_number(const uint32_t *c, size_t n, size_t *used)
{
    const size_t   start  = n > 0 && (c[0] | 0x20) == 'x' ? 1 : 0;
    const uint32_t base   = start ? 16 : 10;
    uint32_t       number = 0;
    size_t         i      = start;
    while (i < n && digit_of(c[i]) < (int)base) {
        number = number * base + (uint32_t)digit_of(c[i++]);
        if (number > 0x110000) number = 0x110000;
    }
    *used = i == start ? 0 : i;
    return number;
}

/* ---- html.unescape -------------------------------------------------------------------------- */

static size_t name_length(const uint32_t *c, size_t n)
{
    size_t i = 0;
    while (i < n && i < LONGEST_NAME) {
        const uint32_t x = c[i];
        if (x == '\t' || x == '\n' || x == '\f' || x == ' ' || x == '<' || x == '&' || x == '#' ||
            x == ';')
            break;
        i++;
    }
    if (i > 0 && i < n && c[i] == ';') i++;
    return i;
}

/* c: behind '&'. The name, or the longest beginning that is one. *used = 0: none. */
static fil_status unescape_name(const uint32_t *c, size_t n, size_t *used, fili_text *out)
{
    for (size_t length = name_length(c, n); length > 1; length--) {
        const char *text = find_entity(c, length);
        if (text == NULL) continue;
        *used = length;
        return fili_text_add_utf8(out, text, strlen(text));
    }
    *used = 0;
    return FIL_OK;
}

/* c: behind '&'. A number or a name. *used = 0: neither. */
static fil_status unescape_one(const uint32_t *c, size_t n, size_t *used, fili_text *out)
{
    if (n == 0 || c[0] != '#') return unescape_name(c, n, used, out);
    const uint32_t number = read_number(c + 1, n - 1, used);
    if (*used == 0) return FIL_OK;
    *used += 1;
    if (*used < n && c[*used] == ';') *used += 1;
    return add_number(out, number);
}

fil_status fili_text_unescape(const fili_text *in, fili_text *out)
{
    for (size_t i = 0; i < in->n; i++) {
        size_t used = 0;
        if (in->c[i] == '&') FIL_TRY(unescape_one(in->c + i + 1, in->n - i - 1, &used, out));
        if (used == 0) FIL_TRY(fili_text_add(out, in->c[i]));
        i += used;
    }
    return FIL_OK;
}

/* ---- ftfy's manner -------------------------------------------------------------------------- */

static int is_alnum(uint32_t c)
{
    const uint32_t lower = c | 0x20;
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
}

/* c: behind '&'. Characters of "#?[0-9A-Za-z]{1,24};", 0 if it does not stand there. */
static size_t strict_length(const uint32_t *c, size_t n)
{
    const size_t start = n > 0 && c[0] == '#' ? 1 : 0;
    size_t       i     = start;
    while (i < n && i - start < LONGEST_STRICT && is_alnum(c[i]))
        i++;
    return i > start && i < n && c[i] == ';' ? i + 1 : 0;
}

static fil_status unescape_strict(const uint32_t *c, size_t length, size_t *used, fili_text *out)
{
    *used = 0;
    if (c[0] == '#') {
        size_t         digits;
        const uint32_t number = read_number(c + 1, length - 1, &digits);
        /* All of it must be the number, and a reference to ';' itself is left alone. */
        if (digits + 2 != length || number == ';') return FIL_OK;
        *used = length;
        return add_number(out, number);
    }
    const char *text = find_entity(c, length);
    if (text == NULL)
        text = find_name(fili_text_entities_upper, fili_text_entities_upper_count, c, length);
    if (text == NULL) return FIL_OK;
    *used = length;
    return fili_text_add_utf8(out, text, strlen(text));
}

fil_status fili_text_unescape_strict(const fili_text *in, fili_text *out)
{
    for (size_t i = 0; i < in->n; i++) {
        const uint32_t *c    = in->c + i + 1;
        size_t          used = 0;
        if (in->c[i] == '&') {
            const size_t length = strict_length(c, in->n - i - 1);
            if (length > 0) FIL_TRY(unescape_strict(c, length, &used, out));
        }
        if (used == 0) FIL_TRY(fili_text_add(out, in->c[i]));
        i += used;
    }
    return FIL_OK;
}
