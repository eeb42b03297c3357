/* kernel/select.c: the table of selection rows, from the list in select.inc, and the k largest:
 * the numbers between the least and the largest are halved until k scores are reached, which takes
 * a few vectors a step and O(mk) in all, whatever k is.
 */
#include <math.h>
#include <string.h>

#include "kernel/select.h"

static const filk_row rows[] = {
#define FILK_SELECT(stem, level, rank) FILK_ROW_OF(stem, level, rank)
#include "kernel/select.inc"
#undef FILK_SELECT
};

const filk_family filk_selection = {
    .name = "select", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};

/* The number whose key (filk_select_key) is `key`: above 0x007fffff, which is -inf's. */
static float number_of(uint32_t key)
{
    const uint32_t bits = (key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key;
    float          x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int32_t reach(const float *score, int32_t mk, float limit)
{
    int32_t n = 0;
    for (int32_t b = 0; b < mk; b++)
        n += score[b] >= limit;
    return n;
}

/* The largest number that at least `keep` scores reach, or one that exactly `keep` reach: *n of
 * them. Halves the numbers between, by their keys; -inf where fewer than `keep` are numbers. */
static float threshold_of(const float *score, int32_t mk, int32_t keep, int32_t *n)
{
    uint32_t low  = 0x007fffffu; /* reached by *n */
    uint32_t high = 0xff800001u; /* by too few: above +inf's */
    *n            = reach(score, mk, -INFINITY);
    while (*n > keep && high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        const int32_t  there  = reach(score, mk, number_of(middle));
        if (there < keep) {
            high = middle;
        } else {
            low = middle;
            *n  = there;
        }
    }
    return number_of(low);
}

void filk_select_top(const float *score, int32_t mk, int32_t keep, uint32_t *row)
{
    int32_t     reached;
    const float limit = threshold_of(score, mk, keep, &reached);
    int32_t     ties  = keep; /* of those that equal the limit, the first */
    int32_t     nans  = keep - reached;
    for (int32_t b = 0; b < mk; b++)
        ties -= score[b] > limit;
    for (int32_t first = 0; first < mk; first += 32) {
        const int32_t n    = mk - first < 32 ? mk - first : 32;
        uint32_t      word = 0;
        for (int32_t b = 0; b < n; b++) {
            const float   x   = score[first + b];
            const int32_t tie = x == limit;
            const int32_t nan = x != x;
            const int32_t bit = (x > limit) | (tie & (ties > 0)) | (nan & (nans > 0));
            word |= (uint32_t)bit << b;
            ties -= tie;
            nans -= nan;
        }
        row[first / 32] = word;
    }
}
