/* bench/bench_norm.c: the norms beside memcpy, one thread.
 *
 * One JSON object per line: bytes read plus written per second over 4096 rows, median over
 * repetitions, next to memcpy of as many bytes. All rows of the family and memcpy alternate. The
 * tables of the rotation count as read. Usage: bench_norm [repetitions]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/rng.h"
#include "kernel/norm.h"
#include "kernel/rope_table.h"

enum { ROWS = 4096, HEAD = 128, MAX_REPETITIONS = 101, MAX_ROWS = 8 };

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *need(size_t bytes)
{
    void *p = aligned_alloc(64, bytes);
    if (p == NULL) exit(1);
    memset(p, 0, bytes);
    return p;
}

static double seconds_now(void)
{
    return (double)fili_os_posix.clock_ns(NULL) * 1e-9;
}

static void measure(fil_ctx *ctx, const filk_norm_problem *p, const filk_norm_args *a,
                    int repetitions)
{
    static const char *const names[] = {"modulated", "affine", "rms_rope"};
    double                   t[MAX_ROWS + 1][MAX_REPETITIONS];
    char                     why[FILK_REASON];
    const int32_t            n     = filk_norm.n_rows - 1; /* not the oracle */
    const size_t             in    = (size_t)(ROWS * p->dim) * (p->dtype == FIL_BF16 ? 2 : 4);
    const size_t             out   = (size_t)(ROWS * p->dim) * (p->out_dtype == FIL_BF16 ? 2 : 4);
    const size_t             table = p->head_dim > 0 ? (size_t)ROWS * HEAD * 4 : 0;
    const size_t             bytes = in + out + table;
    char                    *from  = need(bytes);
    char                    *to    = need(bytes);
    for (int r = -1; r < repetitions; r++)
        for (int32_t i = 0; i <= n; i++) {
            const double start = seconds_now();
            if (i == n)
                memcpy(to, from, bytes / 2);
            else if (filk_explain(ctx, &filk_norm, &filk_norm.rows[i], p, why) &&
                     filk_norm.rows[i].run(ctx, p, a, NULL) != FIL_OK)
                exit(1);
            if (r >= 0) t[i][r] = seconds_now() - start;
        }
    for (int32_t i = 0; i <= n; i++)
        qsort(t[i], (size_t)repetitions, sizeof(double), by_value);
    for (int32_t i = 0; i < n; i++)
        if (filk_explain(ctx, &filk_norm, &filk_norm.rows[i], p, why))
            printf("{\"bench\":\"norm\",\"kernel\":\"%s\",\"kind\":\"%s\",\"dim\":%lld,"
                   "\"in\":\"%s\",\"out\":\"%s\",\"rows\":%d,\"threads\":1,\"seconds\":%.6f,"
                   "\"gb_per_s\":%.2f,\"memcpy_gb_per_s\":%.2f}\n",
                   filk_norm.rows[i].name, names[p->kind], (long long)p->dim,
                   fil_dtype_name(p->dtype), fil_dtype_name(p->out_dtype), (int)ROWS,
                   t[i][repetitions / 2], (double)bytes * 1e-9 / t[i][repetitions / 2],
                   (double)bytes * 1e-9 / t[n][repetitions / 2]);
    fflush(stdout);
    free(to);
    free(from);
}

int main(int argc, char **argv)
{
    static const int64_t dims[]      = {1536, 5120};
    const int            repetitions = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 15;
    fil_ctx             *ctx         = NULL;
    fil_options          opt;
    const filk_rope_grid grid = {.f = 4, .h = 32, .w = 32, .head_dim = HEAD};
    if (repetitions < 1 || repetitions > MAX_REPETITIONS || filk_norm.n_rows > MAX_ROWS) return 2;
    fil_options_init(&opt);
    opt.n_threads = 1;
    if (fil_ctx_open(&ctx, &opt) != FIL_OK) return 1;
    float *c = need((size_t)ROWS * HEAD * 2);
    float *s = need((size_t)ROWS * HEAD * 2);
    if (fili_rope_table(ctx, &grid, NULL, ROWS, c, s) != FIL_OK) return 1;
    for (int d = 0; d < 2; d++)
        for (int kind = 0; kind < 3; kind++) {
            const int         rms = kind == FILK_NORM_RMS;
            filk_norm_problem p   = {.kind      = (filk_norm_kind)kind,
                                     .rows      = ROWS,
                                     .dim       = dims[d],
                                     .dtype     = rms ? FIL_BF16 : FIL_F32,
                                     .out_dtype = FIL_BF16,
                                     .head_dim  = rms ? HEAD : 0};
            float            *x   = need((size_t)(ROWS * p.dim) * 4);
            float            *out = need((size_t)(ROWS * p.dim) * 2);
            float            *ab  = need((size_t)p.dim * 8);
            fili_philox_normal(1, 0, 0, x, ROWS * p.dim);
            if (rms) /* the upper halves of normal numbers are normal numbers in bf16 */
                for (int64_t i = 0; i < ROWS * p.dim; i++)
                    memcpy((char *)x + i * 2, (char *)&x[i] + 2, 2);
            const filk_norm_args a = {.x          = x,
                                      .x_stride   = p.dim,
                                      .out        = out,
                                      .out_stride = p.dim,
                                      .a          = ab,
                                      .b          = ab + p.dim,
                                      .cos        = rms ? c : NULL,
                                      .sin        = rms ? s : NULL,
                                      .eps        = 1e-6f};
            measure(ctx, &p, &a, repetitions);
            free(ab);
            free(out);
            free(x);
        }
    free(s);
    free(c);
    fil_ctx_close(&ctx);
    return 0;
}
