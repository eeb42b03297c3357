/* sparse/west_map.c: levels of blocks from their masses (sparse/west_map.h).
 *
 * A row is sorted by its bits: masses are not negative, so that they order like unsigned integers,
 * and four stable passes over bytes give the same sequence everywhere, ties included. Sums are f64
 * in the sorted sequence.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "sparse/west_map.h"

enum { ROWS_PER_TASK = 16 };

/* ---- levels --------------------------------------------------------------------------------- */

fil_status fili_levels_check(fil_ctx *ctx, const float *levels, int32_t n)
{
    FIL_CHECK(ctx, n >= 1 && n <= FILI_LEVELS_MOST, "levels: expected 1 to %d, found %d",
              FILI_LEVELS_MOST, n);
    for (int32_t i = 0; i < n; i++) {
        const float before = i == 0 ? 0.0f : levels[i - 1];
        FIL_CHECK(ctx, levels[i] > before && levels[i] <= 1.0f,
                  "level %d is %g behind %g; expected them to rise from above 0 to 1", i,
                  (double)levels[i], (double)before);
    }
    FIL_CHECK(ctx, levels[n - 1] == 1.0f, "the last level is %g; expected 1",
              (double)levels[n - 1]);
    return FIL_OK;
}

void fili_levels_even(float *levels, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        levels[i] = (float)((double)(i + 1) / (double)n);
}

/* Eight bytes below 128 against `most`: the top bit of each (most + 128 - byte) says "at most". A
 * product gathers the eight top bits in its own top byte, the first byte lowest. */
static uint32_t eight_bits(const uint8_t *level, uint64_t most)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 8; i++)
        bytes |= (uint64_t)level[i] << (8 * i);
    const uint64_t top = (most - bytes) & UINT64_C(0x8080808080808080);
    return (uint32_t)((top >> 7) * UINT64_C(0x0102040810204080) >> 56);
}

void fili_levels_bits(const uint8_t *level, int32_t m, uint8_t most, uint32_t *row)
{
    const uint64_t all   = UINT64_C(0x0101010101010101) * (0x80u | most);
    const int32_t  whole = m / 32;
    for (int32_t w = 0; w < whole; w++) {
        const uint8_t *l = level + 32 * (int64_t)w;
        row[w] = eight_bits(l, all) | eight_bits(l + 8, all) << 8 | eight_bits(l + 16, all) << 16 |
                 eight_bits(l + 24, all) << 24;
    }
    if (m % 32 == 0) return;
    uint32_t last = 0;
    for (int32_t b = 32 * whole; b < m; b++)
        last |= (uint32_t)(level[b] <= most) << (b % 32);
    row[whole] = last;
}

/* ---- one row -------------------------------------------------------------------------------- */

static size_t sort_bytes(int32_t m)
{
    return 2 * (size_t)m * sizeof(uint64_t);
}

size_t fili_west_scratch(int32_t m)
{
    const size_t bytes = sort_bytes(m) + sizeof(fili_west_growth) + (size_t)m;
    return (bytes + FILI_ALIGN - 1) / FILI_ALIGN * FILI_ALIGN; /* workers share no line */
}

/* One stable pass over a byte of the keys; false if all of them agree there. */
static bool sort_pass(const uint64_t *from, uint64_t *to, int32_t m, int shift)
{
    int32_t at[256] = {0};
    int32_t sum     = 0;
    for (int32_t i = 0; i < m; i++)
        at[from[i] >> shift & 255u]++;
    if (at[from[0] >> shift & 255u] == m) return false;
    for (int32_t b = 0; b < 256; b++) {
        const int32_t n = at[b];
        at[b]           = sum;
        sum += n;
    }
    for (int32_t i = 0; i < m; i++)
        to[at[from[i] >> shift & 255u]++] = from[i];
    return true;
}

/* Keys: the inverted bits of the mass above the block's number. */
static const uint64_t *sort_row(const float *mass, int32_t m, uint64_t *a, uint64_t *b)
{
    for (int32_t i = 0; i < m; i++) {
        const float value = mass[i] + 0.0f; /* -0 becomes 0 */
        uint32_t    bits;
        memcpy(&bits, &value, sizeof bits);
        a[i] = (uint64_t)~bits << 32 | (uint32_t)i;
    }
    for (int shift = 32; shift < 64; shift += 8) {
        if (!sort_pass(a, b, m, shift)) continue;
        uint64_t *other = a;
        a               = b;
        b               = other;
    }
    return a;
}

static bool says_something(const float *mass, int32_t m)
{
    bool some = false;
    for (int32_t i = 0; i < m; i++) {
        if (!(mass[i] >= 0.0f) || isinf(mass[i])) return false;
        some = some || mass[i] > 0.0f;
    }
    return some;
}

bool fili_west_row(const float *mass, int32_t m, const float *levels, int32_t n_levels,
                   void *scratch, uint8_t *level)
{
    double  total  = 0.0;
    double  before = 0.0;
    int32_t p      = 0;
    if (!says_something(mass, m)) return false;
    const uint64_t *sorted = sort_row(mass, m, scratch, (uint64_t *)scratch + m);
    for (int32_t i = 0; i < m; i++)
        total += (double)mass[(uint32_t)sorted[i]];
    for (int32_t i = 0; i < m; i++) {
        const uint32_t b = (uint32_t)sorted[i];
        while (p < n_levels - 1 && !(before < (double)levels[p] * total))
            p++;
        level[b] = (uint8_t)p;
        before += (double)mass[b];
    }
    return true;
}

/* ---- maps ----------------------------------------------------------------------------------- */

void fili_west_begin(uint8_t *map, int32_t heads, int32_t m, int32_t n_levels)
{
    memset(map, n_levels - 1, (size_t)heads * (size_t)m * (size_t)m);
}

/* What a worker has: room to sort a row, the row's levels, and its own counts. */
typedef struct desk {
    void             *sort;
    fili_west_growth *growth;
    uint8_t          *level;
} desk;

static desk desk_of(void *scratch, int32_t m, int32_t worker)
{
    unsigned char *at = (unsigned char *)scratch + (size_t)worker * fili_west_scratch(m);
    desk           d  = {.sort = at};
    at += sort_bytes(m);
    d.growth = (fili_west_growth *)(void *)at;
    d.level  = at + sizeof *d.growth;
    return d;
}

static void lower(uint8_t *map, const uint8_t *level, int32_t m, fili_west_growth *growth)
{
    for (int32_t b = 0; b < m; b++) {
        const uint8_t fall = (uint8_t)(map[b] > level[b] ? map[b] - level[b] : 0);
        growth->bytes += fall != 0;
        growth->bits += fall;
        map[b] = (uint8_t)(map[b] - fall);
    }
}

static fil_status join_rows(void *arg, int64_t task, int32_t worker)
{
    const fili_west_args *a    = arg;
    const desk            d    = desk_of(a->scratch, a->m, worker);
    const int64_t         rows = (int64_t)a->heads * a->m;
    const fili_range      r    = fili_task_range(rows, ROWS_PER_TASK, task);
    for (int64_t i = r.begin; i < r.end; i++) {
        if (!fili_west_row(a->mass + i * a->m, a->m, a->levels, a->n_levels, d.sort, d.level))
            return FIL_E_NONFINITE;
        lower(a->map + i * a->m, d.level, a->m, d.growth);
    }
    return FIL_OK;
}

/* The first row that says nothing, for the message: rows are looked at again, in order. */
static fil_status name_row(fil_ctx *ctx, const float *mass, int32_t heads, int32_t m)
{
    for (int64_t i = 0; i < (int64_t)heads * m; i++)
        if (!says_something(mass + i * m, m))
            return FIL_FAIL(ctx, FIL_E_NONFINITE,
                            "block masses: head %d, query block %d has a mass that is negative or "
                            "not finite, or none at all",
                            (int)(i / m), (int)(i % m));
    return FIL_OK;
}

fil_status fili_west_join(fil_ctx *ctx, const fili_west_args *args, fili_west_growth *growth)
{
    const int64_t  tasks = fili_task_count((int64_t)args->heads * args->m, ROWS_PER_TASK);
    fili_west_args mine  = *args;
    FIL_TRY(name_row(ctx, args->mass, args->heads, args->m));
    for (int32_t t = 0; t < ctx->n_threads; t++)
        *desk_of(args->scratch, args->m, t).growth = (fili_west_growth){0, 0};
    FIL_TRY(fili_pool_run(ctx, "levels of blocks", tasks, join_rows, &mine));
    if (growth == NULL) return FIL_OK;
    for (int32_t t = 0; t < ctx->n_threads; t++) {
        const fili_west_growth *g = desk_of(args->scratch, args->m, t).growth;
        growth->bytes += g->bytes;
        growth->bits += g->bits;
    }
    return FIL_OK;
}

fil_status fili_west_sum(fil_ctx *ctx, const float *mass, int32_t heads, int32_t m, float *sum)
{
    FIL_TRY(name_row(ctx, mass, heads, m));
    for (int64_t i = 0; i < (int64_t)heads * m; i++) {
        const float *row   = mass + i * m;
        double       total = 0.0;
        for (int32_t b = 0; b < m; b++)
            total += (double)row[b];
        const float share = (float)(1.0 / total);
        for (int32_t b = 0; b < m; b++)
            sum[i * m + b] += row[b] * share;
    }
    return FIL_OK;
}

void fili_west_pairs(const float *mass, int32_t heads, int32_t m, float *pair)
{
    const int32_t half = m / 2 + m % 2;
    for (int32_t h = 0; h < heads; h++)
        for (int32_t u = 0; u < half; u++)
            for (int32_t v = 0; v < half; v++) {
                const float *at  = mass + ((int64_t)h * m + 2 * (int64_t)u) * m + 2 * (int64_t)v;
                const bool   w   = 2 * v + 1 < m;
                float        sum = at[0] + (w ? at[1] : 0.0f);
                if (2 * u + 1 < m) sum += at[m] + (w ? at[m + 1] : 0.0f);
                pair[((int64_t)h * half + u) * half + v] = sum;
            }
}
