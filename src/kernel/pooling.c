/* kernel/pooling.c: the table of pooling rows, from the list in pooling.inc. */
#include "kernel/pooling.h"

static const filk_row rows[] = {
#define FILK_POOLING(stem, level, rank) FILK_ROW_OF(stem, level, rank)
#include "kernel/pooling.inc"
#undef FILK_POOLING
};

const filk_family filk_pooling = {
    .name = "pooling", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};

int32_t filk_pooling_sinks_below(const filk_pooling_args *args, int32_t h, int64_t t)
{
    int32_t n = 0;
    if (args->sinks == NULL) return 0;
    const int32_t *list = args->sinks + h * args->sinks_stride_h;
    while (n < args->n_sinks && list[n] < t)
        n++;
    return n;
}
