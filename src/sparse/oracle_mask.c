/* sparse/oracle_mask.c: choosing blocks by exact mass (sparse/oracle_mask.h). */
#include <math.h>
#include <string.h>

#include "kernel/select.h"
#include "sparse/oracle_mask.h"

static fil_status check(const fili_mask *mask, const fili_blocks *blocks, double density)
{
    FIL_CHECK(mask->ctx, density > 0.0 && density <= 1.0, "density %g; expected above 0, up to 1",
              density);
    if (mask->mq == blocks->m && mask->mk == blocks->m) return FIL_OK;
    return FIL_FAIL(mask->ctx, FIL_E_SHAPE, "oracle: mask of %d x %d blocks; expected %d x %d",
                    mask->mq, mask->mk, blocks->m, blocks->m);
}

static const float *mass_row(const fili_mask *mask, const float *mass, int64_t row)
{
    return mass + row * mask->mk;
}

/* ---- by rows -------------------------------------------------------------------------------- */

fil_status fili_oracle_rows(fili_mask *mask, const float *mass, int32_t keep)
{
    FIL_CHECK(mask->ctx, keep >= 1 && keep <= mask->mk, "keep %d of %d blocks", keep, mask->mk);
    for (int64_t r = 0; r < (int64_t)mask->heads * mask->mq; r++) {
        uint32_t *row = mask->bits + r * mask->words;
        memset(row, 0, (size_t)mask->words * sizeof *row);
        filk_select_top(mass_row(mask, mass, r), mask->mk, keep, row);
    }
    return FIL_OK;
}

/* ---- one threshold -------------------------------------------------------------------------- */

typedef struct choice {
    const fili_blocks *blocks;
    const float       *mass;
    fili_mask         *mask;
} choice;

static uint64_t pairs_of(const choice *c, int32_t q, int32_t k)
{
    return (uint64_t)fili_blocks_valid(c->blocks, q) * (uint64_t)fili_blocks_valid(c->blocks, k);
}

/* Mass per token pair as a number that sorts like it: the bits of a float that is not negative. */
static uint32_t rank_of(const choice *c, int64_t row, int32_t k)
{
    const float value =
        mass_row(c->mask, c->mass, row)[k] / (float)pairs_of(c, (int32_t)(row % c->mask->mq), k);
    uint32_t bits;
    if (!(value > 0.0f)) return 0; /* NaN too */
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static int64_t rows_of(const fili_mask *mask)
{
    return (int64_t)mask->heads * mask->mq;
}

/* Keeps the largest block of each row; returns their pairs. */
static uint64_t keep_largest(const choice *c)
{
    uint64_t pairs = 0;
    fili_mask_clear(c->mask);
    for (int64_t r = 0; r < rows_of(c->mask); r++) {
        int32_t best = 0;
        for (int32_t k = 1; k < c->mask->mk; k++)
            if (rank_of(c, r, k) > rank_of(c, r, best)) best = k;
        c->mask->bits[r * c->mask->words + best / 32] |= 1u << (best % 32);
        pairs += pairs_of(c, (int32_t)(r % c->mask->mq), best);
    }
    return pairs;
}

static bool kept(const choice *c, int64_t row, int32_t k)
{
    return (c->mask->bits[row * c->mask->words + k / 32] >> (k % 32) & 1u) != 0;
}

/* Pairs not yet kept of the blocks whose rank is at least `from`. */
static uint64_t pairs_from(const choice *c, uint32_t from)
{
    uint64_t pairs = 0;
    for (int64_t r = 0; r < rows_of(c->mask); r++)
        for (int32_t k = 0; k < c->mask->mk; k++)
            if (rank_of(c, r, k) >= from && !kept(c, r, k))
                pairs += pairs_of(c, (int32_t)(r % c->mask->mq), k);
    return pairs;
}

/* Keeps blocks of rank `from` and above, up to `to`, while the room allows it to half a block. */
static void keep_ranks(const choice *c, uint32_t from, uint32_t to, double *room)
{
    for (int64_t r = 0; r < rows_of(c->mask); r++)
        for (int32_t k = 0; k < c->mask->mk; k++) {
            const uint32_t rank  = rank_of(c, r, k);
            const double   pairs = (double)pairs_of(c, (int32_t)(r % c->mask->mq), k);
            if (rank < from || rank > to || kept(c, r, k) || 2.0 * *room < pairs) continue;
            c->mask->bits[r * c->mask->words + k / 32] |= 1u << (k % 32);
            *room -= pairs;
        }
}

/* The lowest rank all of whose blocks, with those above, still fit. */
static uint32_t find_threshold(const choice *c, double room)
{
    uint32_t low  = 0; /* does not fit, or is the last */
    uint32_t high = UINT32_MAX;
    if ((double)pairs_from(c, 0) <= room) return 0;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if ((double)pairs_from(c, middle) <= room)
            high = middle;
        else
            low = middle;
    }
    return high;
}

fil_status fili_oracle_threshold(fili_mask *mask, const fili_blocks *blocks, const float *mass,
                                 double density)
{
    const choice c = {.blocks = blocks, .mass = mass, .mask = mask};
    const double n = (double)fili_blocks_tokens(blocks);
    FIL_TRY(check(mask, blocks, density));
    double room = density * n * n * (double)mask->heads - (double)keep_largest(&c);
    if (room <= 0.0) return FIL_OK;
    const uint32_t threshold = find_threshold(&c, room);
    keep_ranks(&c, threshold, UINT32_MAX, &room);
    if (threshold > 0) keep_ranks(&c, threshold - 1, threshold - 1, &room);
    return FIL_OK;
}
