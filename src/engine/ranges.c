/* engine/ranges.c: lists of numbers as users write them (engine/ranges.h). */
#include "engine/ranges.h"

typedef struct reader {
    const char *at, *end;
} reader;

/* Decimal digits. False: none, or more than FILI_RANGE_MOST. */
static bool read_number(reader *r, int32_t *out)
{
    const char *begin = r->at;
    int32_t     value = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        value = value * 10 + (*r->at - '0');
        if (value > FILI_RANGE_MOST) return false;
    }
    *out = value;
    return r->at != begin;
}

static bool read_mark(reader *r, char mark)
{
    if (r->at == r->end || *r->at != mark) return false;
    r->at++;
    return true;
}

static bool read_range(reader *r, fili_ranges *out)
{
    int32_t first;
    int32_t last;
    if (out->n == FILI_RANGES || !read_number(r, &first)) return false;
    last = first;
    if (read_mark(r, '-') && !(read_number(r, &last) && last >= first)) return false;
    out->first[out->n]  = first;
    out->last[out->n++] = last;
    return true;
}

fil_status fili_ranges_parse(fil_ctx *ctx, const char *what, const char *text, size_t bytes,
                             fili_ranges *out)
{
    out->n = 0;
    if (text == NULL) return FIL_OK;
    reader r = {.at = text, .end = text + bytes};
    while (read_range(&r, out)) {
        if (r.at == r.end) return FIL_OK;
        if (!read_mark(&r, ',')) break;
    }
    return FIL_FAIL(ctx, FIL_E_ARG,
                    "%s: expected up to %d numbers and ranges with commas between them, such as "
                    "0,5,10-12, found '%s'",
                    what, FILI_RANGES, fili_quote(text, bytes).text);
}

bool fili_ranges_has(const fili_ranges *ranges, int32_t number)
{
    for (int32_t i = 0; i < ranges->n; i++)
        if (number >= ranges->first[i] && number <= ranges->last[i]) return true;
    return ranges->n == 0;
}

int32_t fili_ranges_most(const fili_ranges *ranges)
{
    int32_t most = -1;
    for (int32_t i = 0; i < ranges->n; i++)
        if (ranges->last[i] > most) most = ranges->last[i];
    return most;
}
