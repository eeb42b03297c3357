/* kernel/norm.c: the table of norm rows, from the list in norm.inc. */
#include "kernel/norm.h"

static const filk_row rows[] = {
#define FILK_NORM(stem, level, rank) FILK_ROW_OF(stem, level, rank)
#include "kernel/norm.inc"
#undef FILK_NORM
};

const filk_family filk_norm = {
    .name = "norm", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};
