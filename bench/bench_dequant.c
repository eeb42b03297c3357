/* bench/bench_dequant.c: speed of dequantisation (tensor/dequant.h), per block type and instruction
 * set.
 *
 * One JSON object per line: elements per second to F32 and, as weights are loaded, on to BF16 in
 * pieces of 2,048, medians over repetitions; and memcpy of as many bytes as blocks and BF16 have.
 * Repetitions of all rows are interleaved, so that a slow moment hits all alike. Data: 8 Mi
 * elements, more than the caches of one core. One thread.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"

enum { ELEMENTS = 8 << 20, PIECE = 2048, REPETITIONS = 7, MAX_ROWS = 4 };

static const fil_dtype types[] = {
#define TYPE(name, value, elements, bytes) FIL_##name,
    FIL_BLOCK_DTYPE_LIST(TYPE)
#undef TYPE
};

typedef struct buffers {
    unsigned char *src, *dst;
} buffers;

static double median(double *values)
{
    for (int i = 1; i < REPETITIONS; i++)
        for (int j = i; j > 0 && values[j] < values[j - 1]; j--) {
            const double x = values[j];
            values[j]      = values[j - 1];
            values[j - 1]  = x;
        }
    return values[REPETITIONS / 2];
}

/* to_bf16: 0 stops at the F32 of a piece. */
static double run(fili_dequant_fn loop, fil_dtype type, fili_isa isa, int to_bf16, const buffers *b)
{
    static float            piece[PIECE];
    const fili_convert_set *set = fili_convert_select(isa);
    uint32_t                n;
    const uint32_t          size  = fil_dtype_block(type, &n);
    const uint64_t          start = fili_os_posix.clock_ns(NULL);
    for (size_t i = 0; i < ELEMENTS; i += PIECE) {
        loop(piece, b->src + i / n * size, PIECE / n);
        if (to_bf16) fili_convert_row(set, FIL_BF16, b->dst + 2 * i, FIL_F32, piece, PIECE);
    }
    return (double)(fili_os_posix.clock_ns(NULL) - start) * 1e-9;
}

static double copy(size_t bytes, const buffers *b)
{
    const uint64_t start = fili_os_posix.clock_ns(NULL);
    memcpy(b->dst, b->src, bytes);
    return (double)(fili_os_posix.clock_ns(NULL) - start) * 1e-9;
}

static void measure(fil_dtype type, fili_isa have, const buffers *b)
{
    double         f32[MAX_ROWS][REPETITIONS];
    double         bf16[MAX_ROWS][REPETITIONS];
    double         plain[REPETITIONS];
    uint32_t       n;
    const uint32_t size  = fil_dtype_block(type, &n);
    const size_t   moved = (size_t)ELEMENTS / n * size + (size_t)ELEMENTS * 2;
    for (int r = -1; r < REPETITIONS; r++) { /* -1 warms up */
        const int at = r < 0 ? 0 : r;
        for (size_t v = 0; v < fili_n_dequant_variants; v++) {
            const fili_isa needs = fili_dequant_variants[v].needs;
            if (!fili_isa_has(have, needs)) continue;
            const fili_dequant_fn loop = fili_dequant_of(fili_dequant_variants[v].set, type);
            f32[v][at]                 = run(loop, type, needs, 0, b);
            bf16[v][at]                = run(loop, type, needs, 1, b);
        }
        plain[at] = copy(moved / 2, b);
    }
    const double memcpy_rate = ELEMENTS / median(plain) * 1e-9;
    for (size_t v = 0; v < fili_n_dequant_variants; v++) {
        const fili_isa needs = fili_dequant_variants[v].needs;
        printf("{\"bench\":\"dequant\",\"type\":\"%s\",\"isa\":\"%s\",", fil_dtype_name(type),
               fili_isa_name(needs));
        if (!fili_isa_has(have, needs))
            printf("\"skipped\":\"this CPU has %s\"}\n", fili_isa_name(have));
        else
            printf("\"g_per_s_f32\":%.2f,\"g_per_s_bf16\":%.2f,\"g_per_s_memcpy\":%.2f}\n",
                   ELEMENTS / median(f32[v]) * 1e-9, ELEMENTS / median(bf16[v]) * 1e-9,
                   memcpy_rate);
    }
}

int main(void)
{
    const fili_isa have = fili_cpu_isa(&fili_os_posix);
    buffers        b    = {malloc((size_t)ELEMENTS * 2), malloc((size_t)ELEMENTS * 2)};
    uint64_t       s    = 1;
    int            code = 1;
    if (b.src == NULL || b.dst == NULL || fili_n_dequant_variants > MAX_ROWS) {
        fprintf(stderr, "bench_dequant: no memory, or more than %d variants\n", (int)MAX_ROWS);
        goto end;
    }
    code = 0;
    for (size_t i = 0; i < (size_t)ELEMENTS * 2; i++) {
        s        = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        b.src[i] = (unsigned char)((s >> 56) & 0xbb); /* no scale is infinite */
    }
    memset(b.dst, 0, (size_t)ELEMENTS * 2);
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
        measure(types[t], have, &b);
end:
    free(b.dst);
    free(b.src);
    return code;
}
