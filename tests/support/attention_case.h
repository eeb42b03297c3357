/* tests/support/attention_case.h: the methods' fixtures attention_a and attention_b, ready for a
 * policy: q, k, v in f32 and in an order, with figures from the json beside them.
 */
#ifndef TESTS_SUPPORT_ATTENTION_CASE_H
#define TESTS_SUPPORT_ATTENTION_CASE_H

#include <jansson.h>

#include "kernel/attention.h"
#include "sparse/order.h"

typedef struct attention_case {
    fil_ctx       *ctx;
    char           path[512]; /* of the tensors */
    json_t        *json;
    fili_grid      grid;
    int32_t        n, heads, head_dim;
    float          scale;
    float         *q, *k, *v; /* [n, heads, head_dim] */
    filk_attn_view view[3];   /* of q, k, v */
} attention_case;

/* letter: 'a' or 'b'. False without FIL_FIXTURES. */
bool attention_case_open(attention_case *c, fil_ctx *ctx, char letter,
                         const fili_order_spec *order);
void attention_case_close(attention_case *c);

/* A tensor of the fixture, for free(). */
void *attention_case_tensor(const attention_case *c, const char *name, fil_dtype dtype, int64_t *n);

#endif
