/* kernel/mass.c: the table of block mass rows, from the list in mass.inc. */
#include "kernel/mass.h"

static const filk_row rows[] = {
#define FILK_MASS(stem, level, rank) FILK_ROW_OF(stem, level, rank)
#include "kernel/mass.inc"
#undef FILK_MASS
};

const filk_family filk_mass = {
    .name = "mass", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};
