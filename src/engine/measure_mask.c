/* engine/measure_mask.c: making and counting the masks of measurements (measure_mask.h).
 *
 * A random row is a sample without replacement (Floyd's: n draws for n blocks, Bentley and Floyd
 * 1987), drawn by Philox from (seed, head, row): the same for any order of making.
 */
#include "base/rng.h"
#include "engine/measure_mask.h"

#define STREAM 0x6d61736bu /* apart from the streams of tensors */

int64_t fili_bench_frames(fil_bench_mask kind, double density, int64_t n)
{
    if (kind != FIL_BENCH_FRAMES) return 1;
    const double frames = 1.0 / density + 0.5;
    return frames >= (double)n ? n : (int64_t)frames;
}

int32_t fili_bench_offsets(int64_t n, int64_t frames, int32_t *offset)
{
    int32_t m = 0;
    if (offset != NULL) offset[0] = 0;
    for (int64_t f = 0; f < frames; f++) {
        const int64_t end = (f + 1) * n / frames;
        for (int64_t at = f * n / frames; at < end; m++) {
            at = end - at > FILI_BLOCK_TOKENS ? at + FILI_BLOCK_TOKENS : end;
            if (offset != NULL) offset[m + 1] = (int32_t)at;
        }
    }
    return m;
}

static int32_t row_blocks(double density, int32_t m)
{
    const int32_t n = (int32_t)(density * m + 0.5);
    return n < 1 ? 1 : n > m ? m : n;
}

static void set_bit(uint32_t *row, int32_t b)
{
    row[b / 32] |= 1u << (b % 32);
}

static int has_bit(const uint32_t *row, int32_t b)
{
    return (row[b / 32] >> (b % 32) & 1u) != 0;
}

static void random_row(uint32_t *row, int32_t m, int32_t n, uint64_t seed, uint64_t stream)
{
    for (int32_t j = m - n; j < m; j++) {
        const uint64_t u = fili_philox_u32(seed, stream, (uint64_t)j);
        const int32_t  b = (int32_t)(u * (uint64_t)(j + 1) >> 32);
        set_bit(row, has_bit(row, b) ? j : b);
    }
}

static void window_row(uint32_t *row, int32_t m, int32_t n, int32_t q)
{
    int32_t first = q - n / 2;
    if (first < 0) first = 0;
    if (first > m - n) first = m - n;
    for (int32_t b = first; b < first + n; b++)
        set_bit(row, b);
}

/* Blocks never cross a frame, so a block's first token tells its frame. */
static void frame_row(uint32_t *row, int32_t m, const int32_t *offset, int64_t frames, int32_t q)
{
    const int64_t n = offset[m];
    const int64_t f = (((int64_t)offset[q] + 1) * frames - 1) / n;
    for (int32_t b = 0; b < m; b++)
        if (offset[b] >= f * n / frames && offset[b] < (f + 1) * n / frames) set_bit(row, b);
}

void fili_bench_make_mask(fili_mask *mask, fil_bench_mask kind, double density, int64_t frames,
                          const int32_t *offset, uint64_t seed)
{
    const int32_t m = mask->mk;
    const int32_t n = row_blocks(density, m);
    for (int32_t h = 0; h < mask->heads; h++)
        for (int32_t q = 0; q < mask->mq; q++) {
            uint32_t *row = fili_mask_row(mask, h, q);
            if (kind == FIL_BENCH_WINDOW)
                window_row(row, m, n, q);
            else if (kind == FIL_BENCH_FRAMES)
                frame_row(row, m, offset, frames, q);
            else
                random_row(row, m, n, seed,
                           (uint64_t)STREAM << 32 ^ ((uint64_t)h * (uint64_t)m + (uint64_t)q));
        }
}

/* ---- counting ------------------------------------------------------------------------------- */

/* Keys that a row keeps: tokens of its blocks, sinks outside them, and blocks left out that hold
 * more than sinks. */
static void count_row(const uint32_t *row, int32_t m, const int32_t *offset, const int32_t *sinks,
                      int32_t n_sinks, int64_t *kept, int64_t *pooled)
{
    int32_t s = 0;
    *kept     = 0;
    *pooled   = 0;
    for (int32_t b = 0; b < m; b++) {
        const int32_t first = s;
        while (s < n_sinks && sinks[s] < offset[b + 1])
            s++;
        if (row == NULL || has_bit(row, b)) {
            *kept += offset[b + 1] - offset[b];
            continue;
        }
        *kept += s - first;
        *pooled += offset[b + 1] - offset[b] > s - first;
    }
}

void fili_bench_density(const fili_mask *mask, const int32_t *offset, const int32_t *sinks,
                        int32_t n_sinks, int32_t tail, double *density, double *work)
{
    const double all  = (double)offset[mask->mk] * (double)offset[mask->mk] * mask->heads;
    double       keep = 0.0;
    double       pool = 0.0;
    for (int32_t h = 0; h < mask->heads; h++)
        for (int32_t q = 0; q < mask->mq; q++) {
            const uint32_t *row = mask->bits != NULL ? fili_mask_row(mask, h, q) : NULL;
            int64_t         kept, pooled;
            count_row(row, mask->mk, offset, sinks, n_sinks, &kept, &pooled);
            keep += (double)kept * (offset[q + 1] - offset[q]);
            pool += (double)pooled * (offset[q + 1] - offset[q]);
        }
    *density = keep / all;
    *work    = (keep + (tail ? pool : 0.0)) / all;
}
