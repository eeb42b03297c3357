/* engine/ranges.h: lists of numbers as users write them: "0,5,10-12". */
#ifndef FILI_ENGINE_RANGES_H
#define FILI_ENGINE_RANGES_H

#include "base/ctx.h"

#define FILI_RANGES     64
#define FILI_RANGE_MOST 99999 /* largest number */

typedef struct fili_ranges {
    int32_t n; /* 0: everything */
    int32_t first[FILI_RANGES], last[FILI_RANGES];
} fili_ranges;

/* The first `bytes` bytes of text: numbers and rising ranges with commas between them, no spaces.
 * E_ARG: anything else; `what` names the list in the message. text NULL: everything. */
FIL_MUSTCHECK fil_status fili_ranges_parse(fil_ctx *ctx, const char *what, const char *text,
                                           size_t bytes, fili_ranges *out);

bool fili_ranges_has(const fili_ranges *ranges, int32_t number);

/* The largest number; -1: everything. */
int32_t fili_ranges_most(const fili_ranges *ranges);

#endif
