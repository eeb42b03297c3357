/* kernel/sampled.c: the table of the rows in sampled.inc. */
#include "kernel/sampled.h"

static const filk_row rows[] = {
#define FILK_SAMPLED_ROW(stem, level, rank) FILK_ROW_OF(stem, level, rank)
#include "kernel/sampled.inc"
#undef FILK_SAMPLED_ROW
};

const filk_family filk_sampled = {
    .name = "sampled", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};
