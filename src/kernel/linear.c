/* kernel/linear.c: the table of linear rows, from the list in linear.inc. */
#include "kernel/linear.h"

static const filk_row rows[] = {
#define FILK_LINEAR(stem, level, rank)                                                             \
    {.name     = #stem,                                                                            \
     .isa      = (level),                                                                          \
     .priority = (rank),                                                                           \
     .refuse   = stem##_refuse,                                                                    \
     .plan     = &stem##_plan},
#include "kernel/linear.inc"
#undef FILK_LINEAR
};

const filk_family filk_linear = {
    .name = "linear", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};
