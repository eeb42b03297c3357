/* kernel/attention.c: the table of attention rows, from the list in attention.inc. */
#include "kernel/attention.h"

static const filk_row rows[] = {
#define FILK_ATTN(stem, level, rank) FILK_ROW_OF(stem, level, rank)
#include "kernel/attention.inc"
#undef FILK_ATTN
};

const filk_family filk_attention = {
    .name = "attention", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};
