/* io/text_nfc.c: Unicode normalization form C: decompose, order the marks, compose.
 *
 * Source: Unicode Standard, section 3.11, and 3.12 for Hangul, which is computed. Canonical
 * equivalence only; no form KC.
 */
#include <string.h>

#include "io/text_fix.h"

/* Hangul syllables: leading, vowel and trailing jamo. */
enum {
    S_BASE  = 0xac00,
    L_BASE  = 0x1100,
    V_BASE  = 0x1161,
    T_BASE  = 0x11a7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28,
    S_COUNT = L_COUNT * V_COUNT * T_COUNT
};

static const fili_text_pair *decomposition_of(uint32_t code)
{
    size_t low  = 0;
    size_t high = fili_text_decompositions_count;
    while (low < high) {
        const size_t          middle = low + (high - low) / 2;
        const fili_text_pair *p      = &fili_text_decompositions[middle];
        if (p->code == code) return p;
        if (p->code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static uint8_t class_of(uint32_t code)
{
    size_t low  = 0;
    size_t high = fili_text_classes_count;
    if (code < fili_text_classes[0].first) return 0;
    while (low < high) {
        const size_t           middle = low + (high - low) / 2;
        const fili_text_class *c      = &fili_text_classes[middle];
        if (code < c->first)
            high = middle;
        else if (code > c->last)
            low = middle + 1;
        else
            return c->combining;
    }
    return 0;
}

static fil_status add_hangul(uint32_t index, fili_text *out)
{
    const uint32_t trailing = index % T_COUNT;
    FIL_TRY(fili_text_add(out, L_BASE + index / (V_COUNT * T_COUNT)));
    FIL_TRY(fili_text_add(out, V_BASE + index % (V_COUNT * T_COUNT) / T_COUNT));
    return trailing ? fili_text_add(out, T_BASE + trailing) : FIL_OK;
}

/* The first part of a pair may be one again, the second never is. */
static fil_status add_decomposed(uint32_t code, fili_text *out)
{
    uint32_t behind[8];
    size_t   n = 0;
    if (code >= S_BASE && code < S_BASE + S_COUNT) return add_hangul(code - S_BASE, out);
    for (const fili_text_pair *p = decomposition_of(code); p != NULL && n < 8;
         p                       = decomposition_of(code)) {
        if (p->second != 0) behind[n++] = p->second;
        code = p->first;
    }
    FIL_TRY(fili_text_add(out, code));
    while (n > 0)
        FIL_TRY(fili_text_add(out, behind[--n]));
    return FIL_OK;
}

/* Marks by rising class, keeping the order of equal ones: merge sort would be faster for runs of
 * thousands of marks, so those are cut: behind 256 marks the order stays as it is. */
static void order_marks(fili_text *t)
{
    for (size_t i = 1, run = 0; i < t->n; i++) {
        const uint32_t code = t->c[i];
        const uint8_t  mine = class_of(code);
        run                 = mine == 0 ? 0 : run + 1;
        if (run == 0 || run > 256) continue;
        size_t j = i;
        while (j > 0 && i - j < run && class_of(t->c[j - 1]) > mine) {
            t->c[j] = t->c[j - 1];
            j--;
        }
        t->c[j] = code;
    }
}

static uint32_t composed(uint32_t a, uint32_t b)
{
    if (a >= L_BASE && a < L_BASE + L_COUNT && b >= V_BASE && b < V_BASE + V_COUNT)
        return S_BASE + ((a - L_BASE) * V_COUNT + (b - V_BASE)) * T_COUNT;
    if (a >= S_BASE && a < S_BASE + S_COUNT && (a - S_BASE) % T_COUNT == 0 && b > T_BASE &&
        b < T_BASE + T_COUNT)
        return a + (b - T_BASE);
    size_t low  = 0;
    size_t high = fili_text_compositions_count;
    while (low < high) {
        const size_t          middle = low + (high - low) / 2;
        const fili_text_pair *p      = &fili_text_decompositions[fili_text_compositions[middle]];
        if (p->first == a && p->second == b) return p->code;
        if (p->first < a || (p->first == a && p->second < b))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

/* In place: each character joins the last starter unless something between them blocks it. */
static void join(fili_text *t)
{
    size_t  n       = 0;
    size_t  starter = 0;
    int     has     = 0; /* a starter has been seen */
    uint8_t last    = 0; /* class of what stands between it and here; 0 = nothing does */
    for (size_t i = 0; i < t->n; i++) {
        const uint32_t code = t->c[i];
        const uint8_t  mine = class_of(code);
        const int      open = has && (n == starter + 1 || (last < mine && last != 0));
        const uint32_t both = open ? composed(t->c[starter], code) : 0;
        if (both != 0) {
            t->c[starter] = both;
            continue;
        }
        if (mine == 0) {
            starter = n;
            has     = 1;
        }
        last      = mine;
        t->c[n++] = code;
    }
    t->n = n;
}

fil_status fili_text_compose(const fili_text *in, fili_text *out)
{
    for (size_t i = 0; i < in->n; i++)
        FIL_TRY(add_decomposed(in->c[i], out));
    order_marks(out);
    join(out);
    return FIL_OK;
}
