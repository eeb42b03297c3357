/* kernel/conv3d.c: the table of conv3d rows, from the list in conv3d.inc. */
#include "kernel/conv3d.h"

static const filk_row rows[] = {
#define FILK_CONV3D(stem, level, rank)                                                             \
    {.name     = #stem,                                                                            \
     .isa      = (level),                                                                          \
     .priority = (rank),                                                                           \
     .refuse   = stem##_refuse,                                                                    \
     .plan     = &stem##_plan},
#include "kernel/conv3d.inc"
#undef FILK_CONV3D
};

const filk_family filk_conv3d = {
    .name = "conv3d", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};
