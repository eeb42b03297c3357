/* io/text_mojibake.c: undoes decodings with a wrong encoding ("cafÃ©" for "café").
 *
 * Method of ftfy 6.3 (Robyn Speer): text that has sequences of characters which nobody writes but
 * which UTF-8 read as a one-byte encoding is full of is put back into bytes, encoding by encoding,
 * until the bytes are UTF-8. If that works for no encoding, the runs that look like UTF-8 are tried
 * by themselves. What such sequences are: tables (text_tables.h). One-byte encodings mistaken for
 * each other are left as they are.
 */
#include <string.h>

#include "io/text_fix.h"

enum {
    SUBSTITUTE = 0x1a, /* the byte that stands for U+FFFD in a sloppy encoding */
    DEPTH      = 16,   /* of runs inside runs */
    ROUNDS     = 64
};

/* ---- sequences of sets ---------------------------------------------------------------------- */

static bool in_ranges(const fili_text_range *r, size_t n, uint32_t c)
{
    size_t low = 0;
    while (low < n) {
        const size_t middle = low + (n - low) / 2;
        if (c < r[middle].first)
            n = middle;
        else if (c > r[middle].last)
            low = middle + 1;
        else
            return true;
    }
    return false;
}

static bool in_set(const fili_text_set *s, uint32_t c)
{
    bool in = in_ranges(fili_text_ranges + s->first, s->count, c);
    if (!in && (s->flags & FILI_TEXT_SPACE)) in = fili_text_is_space(c);
    if (!in && (s->flags & FILI_TEXT_WORD))
        in = in_ranges(fili_text_words, fili_text_words_count, c);
    return in != ((s->flags & FILI_TEXT_NEGATED) != 0);
}

/* Length of the match of steps k.. at position `at`, or -1. Repetitions are greedy and give way. */
static int64_t match(const fili_text_sequence *s, int k, const fili_text *t, size_t at)
{
    if (k == s->n) return 0;
    const fili_text_step *step = &s->step[k];
    if (step->set == FILI_TEXT_START) return at == 0 ? match(s, k + 1, t, at) : -1;
    const fili_text_set *set = &fili_text_sets[step->set];
    size_t               n   = 0;
    while (n < step->most && at + n < t->n && in_set(set, t->c[at + n]))
        n++;
    for (; n >= step->least; n--) {
        const int64_t rest = match(s, k + 1, t, at + n);
        if (rest >= 0) return (int64_t)n + rest;
        if (n == 0) break;
    }
    return -1;
}

/* Of the first sequence that matches at `at`; -1 if none does. */
static int64_t match_any(const fili_text_sequence *s, size_t count, const fili_text *t, size_t at)
{
    for (size_t i = 0; i < count; i++) {
        const int64_t n = match(&s[i], 0, t, at);
        if (n >= 0) return n;
    }
    return -1;
}

static bool found(const fili_text_sequence *s, size_t count, const fili_text *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (match_any(s, count, t, i) >= 0) return true;
    return false;
}

static bool is_ascii(const fili_text *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->c[i] > 0x7f) return false;
    return true;
}

static bool is_bad(const fili_text *t)
{
    return found(fili_text_bad, fili_text_bad_count, t);
}

/* ---- text to bytes -------------------------------------------------------------------------- */

/* The byte that `code` is in the encoding, or -1. */
static int byte_of(const fili_text_charmap *map, uint32_t code)
{
    if (map->sloppy && code == SUBSTITUTE) return -1;
    if (map->sloppy && code == 0xfffd) return SUBSTITUTE;
    if (code < 0x80) return (int)code;
    for (int i = 0; i < 128; i++)
        if (map->upper[i] == code) return 0x80 + i;
    return -1;
}

/* False if a character is not in the encoding. */
static fil_status encode(const fili_text_charmap *map, const fili_text *in, fili_text *out,
                         bool *possible)
{
    *possible = false;
    for (size_t i = 0; i < in->n; i++) {
        const int byte = byte_of(map, in->c[i]);
        if (byte < 0) return FIL_OK;
        FIL_TRY(fili_text_add(out, (uint32_t)byte));
    }
    *possible = true;
    return FIL_OK;
}

static bool starts_with(const fili_text *t, size_t at, const char *word)
{
    const size_t n = strlen(word);
    if (n > t->n - at) return false;
    for (size_t i = 0; i < n; i++)
        if (t->c[at + i] != (unsigned char)word[i]) return false;
    return true;
}

/* C3 20 is most often the word "à" and keeps its space, but not in these beginnings of words. */
static bool is_lone_a_grave(const fili_text *t, size_t at)
{
    static const char *const other[] = {" ", "quele", "quela", "quilo", "s "};
    if (t->c[at] != 0xc3 || at + 1 >= t->n || t->c[at + 1] != ' ') return false;
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        if (starts_with(t, at + 2, other[i])) return false;
    return true;
}

/* Byte A0, a no-break space, that somebody made a plain space although it is part of a character.
 */
static fil_status restore_a0(fili_text *bytes, fili_text *spare)
{
    spare->n = 0;
    for (size_t i = 0; i < bytes->n; i++) {
        FIL_TRY(fili_text_add(spare, bytes->c[i]));
        if (is_lone_a_grave(bytes, i)) FIL_TRY(fili_text_add(spare, 0xa0));
    }
    fili_text_swap(bytes, spare);
    for (size_t i = 0; i < bytes->n; i++) {
        const int64_t n = match_any(fili_text_altered, fili_text_altered_count, bytes, i);
        if (n < 0) continue;
        for (size_t j = i; j < i + (size_t)n; j++)
            if (bytes->c[j] == ' ') bytes->c[j] = 0xa0;
        i += (size_t)n - 1;
    }
    return FIL_OK;
}

/* Characters of which a byte was lost become U+FFFD. */
static fil_status replace_lossy(fili_text *bytes, fili_text *spare)
{
    static const uint32_t lost[] = {0xef, 0xbf, 0xbd};
    spare->n                     = 0;
    for (size_t i = 0; i < bytes->n; i++) {
        const int64_t n = match_any(fili_text_lossy, fili_text_lossy_count, bytes, i);
        if (n < 0) {
            FIL_TRY(fili_text_add(spare, bytes->c[i]));
        } else {
            FIL_TRY(fili_text_add_all(spare, lost, 3));
            i += (size_t)n - 1;
        }
    }
    fili_text_swap(bytes, spare);
    return FIL_OK;
}

/* ---- bytes to text -------------------------------------------------------------------------- */

static bool between(uint32_t c, uint32_t low, uint32_t high)
{
    return c >= low && c <= high;
}

/* Characters beyond U+FFFF as two halves of three bytes each (CESU-8). 0 = it is none. */
static uint32_t decode_halves(const uint32_t *c, size_t n)
{
    if (n < 6 || c[0] != 0xed || c[3] != 0xed || !between(c[1], 0xa0, 0xaf) ||
        !between(c[2], 0x80, 0xbf) || !between(c[4], 0xb0, 0xbf) || !between(c[5], 0x80, 0xbf))
        return 0;
    return 0x10000 +
           ((c[1] & 0x0f) << 16 | (c[2] & 0x3f) << 10 | (c[4] & 0x0f) << 6 | (c[5] & 0x3f));
}

/* Length of the character at c, 0 if there is none. `variants`: also C0 80 for NUL, and halves. */
static size_t decode_one(const uint32_t *c, size_t n, bool variants, uint32_t *code)
{
    unsigned char p[4] = {0};
    if (variants && n > 1 && c[0] == 0xc0 && c[1] == 0x80) {
        *code = 0;
        return 2;
    }
    if (variants && (*code = decode_halves(c, n)) != 0) return 6;
    for (size_t i = 0; i < 4 && i < n; i++)
        p[i] = (unsigned char)c[i];
    const int length = fili_utf8_length(p, n < 4 ? n : 4);
    if (length <= 0) return 0;
    *code = length == 1 ? p[0] : p[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++)
        *code = *code << 6 | (p[i] & 0x3fu);
    return (size_t)length;
}

static fil_status decode(const fili_text *bytes, fili_text *out, bool *valid)
{
    bool variants = false;
    for (size_t i = 0; i < bytes->n; i++)
        variants = variants || bytes->c[i] == 0xed || bytes->c[i] == 0xc0;
    *valid = false;
    out->n = 0;
    for (size_t i = 0; i < bytes->n;) {
        uint32_t     code   = 0;
        const size_t length = decode_one(bytes->c + i, bytes->n - i, variants, &code);
        if (length == 0) return FIL_OK;
        FIL_TRY(fili_text_add(out, code));
        i += length;
    }
    *valid = true;
    return FIL_OK;
}

/* ---- one step ------------------------------------------------------------------------------- */

typedef struct work {
    fili_text bytes, spare;
} work;

/* *fixed: `in` was UTF-8 read with this encoding, and `out` is what it should have been. */
static fil_status try_encoding(const fili_text_charmap *map, const fili_text *in, work *w,
                               fili_text *out, bool *possible, bool *fixed)
{
    *fixed     = false;
    w->bytes.n = 0;
    FIL_TRY(encode(map, in, &w->bytes, possible));
    if (!*possible) return FIL_OK;
    if (strcmp(map->name, "macroman") != 0 &&
        found(fili_text_altered, fili_text_altered_count, &w->bytes))
        FIL_TRY(restore_a0(&w->bytes, &w->spare));
    if (map->sloppy) FIL_TRY(replace_lossy(&w->bytes, &w->spare));
    return decode(&w->bytes, out, fixed);
}

static fil_status fix_all(fil_ctx *ctx, const uint32_t *c, size_t n, int depth, fili_text *out);

static size_t utf8_run(const fili_text *t, size_t at)
{
    size_t n = 0;
    if (at > 0 && in_set(&fili_text_sets[fili_text_strict_set], t->c[at - 1])) return 0;
    for (;;) {
        const int64_t more = match_any(fili_text_utf8, fili_text_utf8_count, t, at + n);
        if (more <= 0) return n;
        n += (size_t)more;
    }
}

/* Runs of characters that look like UTF-8, each by itself. */
static fil_status fix_runs(const fili_text *in, int depth, fili_text *out)
{
    out->n = 0;
    for (size_t i = 0; i < in->n;) {
        const size_t    n   = utf8_run(in, i);
        const fili_text run = {.c = in->c + i, .n = n};
        if (n == 0) {
            FIL_TRY(fili_text_add(out, in->c[i++]));
            continue;
        }
        if (n < in->n && depth < DEPTH && is_bad(&run))
            FIL_TRY(fix_all(in->ctx, run.c, n, depth + 1, out));
        else
            FIL_TRY(fili_text_add_all(out, run.c, n));
        i += n;
    }
    return FIL_OK;
}

void fili_text_fix_c1(fili_text *t)
{
    const fili_text_charmap *windows = &fili_text_charmaps[1];
    for (size_t i = 0; i < t->n; i++)
        if (between(t->c[i], 0x80, 0x9f)) t->c[i] = windows->upper[t->c[i] - 0x80];
}

/* Latin-1 with C1 controls was meant as Windows-1252, as browsers have it. */
static fil_status fix_controls(const fili_text *in, fili_text *out)
{
    out->n = 0;
    FIL_TRY(fili_text_add_all(out, in->c, in->n));
    fili_text_fix_c1(out);
    return FIL_OK;
}

static fil_status one_step(const fili_text *in, int depth, work *w, fili_text *out)
{
    out->n = 0;
    if (is_ascii(in) || !is_bad(in)) return fili_text_add_all(out, in->c, in->n);
    for (size_t i = 0; i < fili_text_charmaps_count; i++) {
        bool possible;
        bool fixed;
        FIL_TRY(try_encoding(&fili_text_charmaps[i], in, w, out, &possible, &fixed));
        if (fixed) return FIL_OK;
    }
    FIL_TRY(fix_runs(in, depth, out));
    if (!fili_text_same(in, out)) return FIL_OK;
    return fix_controls(in, out);
}

static fil_status fix_steps(fili_text *now, fili_text *next, int depth, work *w)
{
    for (int round = 0; round < ROUNDS; round++) {
        FIL_TRY(one_step(now, depth, w, next));
        if (fili_text_same(now, next)) break;
        fili_text_swap(now, next);
    }
    return FIL_OK;
}

/* Steps until nothing changes; appends to out. */
static fil_status fix_all(fil_ctx *ctx, const uint32_t *c, size_t n, int depth, fili_text *out)
{
    fil_status status;
    fili_text  now  = {.ctx = ctx};
    fili_text  next = {.ctx = ctx};
    work       w    = {.bytes = {.ctx = ctx}, .spare = {.ctx = ctx}};
    FIL_TRY_OR(done, fili_text_add_all(&now, c, n));
    FIL_TRY_OR(done, fix_steps(&now, &next, depth, &w));
    FIL_TRY_OR(done, fili_text_add_all(out, now.c, now.n));
done:
    fili_text_fini(&now);
    fili_text_fini(&next);
    fili_text_fini(&w.bytes);
    fili_text_fini(&w.spare);
    return status;
}

fil_status fili_text_fix_encoding(const fili_text *in, fili_text *out)
{
    return fix_all(in->ctx, in->c, in->n, 0, out);
}
