/* support/emulate/amx_model.c: the tiles of kernel/cpu/amx.h, for machines without AMX.
 *
 * One set per thread. What the CPU would answer with a fault ends the program with a sentence:
 * tiles that are not configured, a tile that does not exist, one tile twice in a product. Sums run
 * in the order of Intel's intrinsics guide: over the 16 pairs, in each the even product, then the
 * odd one, fused, to nearest; denormals in and out are zero. What a CPU rounds inside may differ.
 */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/cpu/amx.h"

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64, LANES = 16 };

#define MXCSR_TILES 0x9fc0u /* to nearest, nothing traps, denormals in and out are zero */

typedef struct tile {
    char row[ROWS][ROW_BYTES];
} tile;

static _Thread_local struct {
    int  configured;
    tile t[TILES];
} state;

static void fault(const char *why)
{
    (void)fprintf(stderr, "amx_model: %s\n", why);
    abort();
}

static tile *tile_of(int t)
{
    if (!state.configured) fault("a tile is used before amx_begin or after amx_end");
    if (t < 0 || t >= TILES) fault("there are tiles 0 to 7 only");
    return &state.t[t];
}

void filk_amx_model_begin(void)
{
    if (state.configured) fault("amx_begin twice without amx_end");
    memset(&state, 0, sizeof state);
    state.configured = 1;
}

void filk_amx_model_end(void)
{
    if (!state.configured) fault("amx_end without amx_begin");
    /* What the tiles held is gone: nothing that a program may rely on. */
    memset(&state, 0xff, sizeof state);
    state.configured = 0;
}

void filk_amx_model_zero(int t)
{
    memset(tile_of(t), 0, sizeof(tile));
}

void filk_amx_model_load(int t, const void *from, int64_t stride)
{
    tile *to = tile_of(t);
    for (int64_t r = 0; r < ROWS; r++)
        memcpy(to->row[r], (const char *)from + r * stride, ROW_BYTES);
}

void filk_amx_model_store(int t, void *to, int64_t stride)
{
    const tile *from = tile_of(t);
    for (int64_t r = 0; r < ROWS; r++)
        memcpy((char *)to + r * stride, from->row[r], ROW_BYTES);
}

/* The two bf16 of each of 8 pairs as f32. */
static inline __m256 even_of(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

static inline __m256 odd_of(__m256i pairs)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
}

/* 8 sums of a row, under MXCSR_TILES. A function of its own: no step may leave it. */
static __attribute__((noinline)) void add_products(float *c, const char *a, const tile *b, int lane)
{
    __m256 sum = _mm256_loadu_ps(c);
    for (int k = 0; k < LANES; k++) {
        int32_t pair;
        memcpy(&pair, a + k * 4, sizeof pair);
        const __m256i ak = _mm256_set1_epi32(pair);
        const __m256i bk =
            _mm256_loadu_si256((const __m256i_u *)(const void *)(b->row[k] + lane * 4));
        sum = _mm256_fmadd_ps(even_of(ak), even_of(bk), sum);
        sum = _mm256_fmadd_ps(odd_of(ak), odd_of(bk), sum);
    }
    _mm256_storeu_ps(c, sum);
}

void filk_amx_model_dp(int c, int a, int b)
{
    tile       *tc = tile_of(c);
    const tile *ta = tile_of(a);
    const tile *tb = tile_of(b);
    if (a == b || a == c || b == c) fault("the three tiles of a product must differ");
    const unsigned before = _mm_getcsr();
    _mm_setcsr(MXCSR_TILES);
    for (int r = 0; r < ROWS; r++)
        for (int lane = 0; lane < LANES; lane += 8) {
            float sums[8];
            memcpy(sums, tc->row[r] + lane * 4, sizeof sums);
            add_products(sums, ta->row[r], tb, lane);
            memcpy(tc->row[r] + lane * 4, sums, sizeof sums);
        }
    _mm_setcsr(before);
}
