/* bench/bench_convert.c: speed of the conversions (tensor/convert.h), per pair and instruction set.
 *
 * One JSON object per line: read plus written bytes per second, median over repetitions, next to
 * memcpy moving as many bytes. Repetitions of all rows of a pair and of memcpy are interleaved, so
 * that a slow moment hits all alike. Data: 4 Mi elements, more than the caches of one core. One
 * thread. Rows of an instruction set that this CPU lacks are reported as skipped.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/rng.h"
#include "tensor/convert.h"

enum { ELEMENTS = 4 << 20, REPETITIONS = 7, MAX_ROWS = 8 };

static const fil_dtype dtypes[] = {FIL_F64, FIL_F32, FIL_BF16, FIL_F16, FIL_F8_E4M3};

enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

typedef struct buffers {
    unsigned char *src, *dst;
} buffers;

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, REPETITIONS, sizeof values[0], by_value);
    return values[REPETITIONS / 2];
}

/* Row n_rows is memcpy with the same number of bytes read plus written. */
static void run_row(size_t row, size_t n_rows, fil_dtype dst, fil_dtype src, const buffers *b)
{
    if (row == n_rows)
        memcpy(b->dst, b->src, (size_of(src) + size_of(dst)) * ELEMENTS / 2);
    else
        fili_convert_row(fili_convert_variants[row].set, dst, b->dst, src, b->src, ELEMENTS);
}

static void measure(fil_dtype dst, fil_dtype src, fili_isa have, const buffers *b)
{
    double       seconds[MAX_ROWS + 1][REPETITIONS];
    const size_t n_rows = fili_n_convert_variants;
    for (int r = -1; r < REPETITIONS; r++) /* -1 warms up */
        for (size_t row = 0; row <= n_rows; row++) {
            if (row < n_rows && !fili_isa_has(have, fili_convert_variants[row].needs)) continue;
            const uint64_t start = fili_os_posix.clock_ns(NULL);
            run_row(row, n_rows, dst, src, b);
            const uint64_t end = fili_os_posix.clock_ns(NULL);
            if (r >= 0) seconds[row][r] = (double)(end - start) * 1e-9;
        }
    const double bytes       = (double)ELEMENTS * (double)(size_of(src) + size_of(dst));
    const double memcpy_rate = bytes / median(seconds[n_rows]) * 1e-9;
    for (size_t row = 0; row < n_rows; row++) {
        const fili_isa isa = fili_convert_variants[row].needs;
        printf("{\"bench\":\"convert\",\"src\":\"%s\",\"dst\":\"%s\",\"isa\":\"%s\",",
               fil_dtype_name(src), fil_dtype_name(dst), fili_isa_name(isa));
        if (!fili_isa_has(have, isa))
            printf("\"skipped\":\"this CPU has %s\"}\n", fili_isa_name(have));
        else
            printf("\"elements\":%d,\"gb_per_s\":%.2f,\"memcpy_gb_per_s\":%.2f}\n", (int)ELEMENTS,
                   bytes / median(seconds[row]) * 1e-9, memcpy_rate);
    }
}

int main(void)
{
    const fili_isa have = fili_cpu_isa(&fili_os_posix);
    buffers        b    = {malloc((size_t)ELEMENTS * 8), malloc((size_t)ELEMENTS * 8)};
    float         *f32  = malloc((size_t)ELEMENTS * sizeof *f32);
    int            code = 1;
    if (b.src == NULL || b.dst == NULL || f32 == NULL || fili_n_convert_variants > MAX_ROWS) {
        fprintf(stderr, "bench_convert: no memory, or more than %d variants\n", (int)MAX_ROWS);
        goto end;
    }
    code = 0;
    fili_philox_normal(1, 0, 0, f32, ELEMENTS);
    for (int s = 0; s < N_DTYPES; s++) {
        fili_convert_row(fili_convert_select(have), dtypes[s], b.src, FIL_F32, f32, ELEMENTS);
        for (int d = 0; d < N_DTYPES; d++)
            measure(dtypes[d], dtypes[s], have, &b);
    }
end:
    free(f32);
    free(b.dst);
    free(b.src);
    return code;
}
