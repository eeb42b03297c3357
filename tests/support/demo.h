/* tests/support/demo.h: the demo model, a Wan2.1 of a few layers that ctest makes before the tests
 * that run a whole model; FIL_DEMO is its folder.
 */
#ifndef TESTS_SUPPORT_DEMO_H
#define TESTS_SUPPORT_DEMO_H

#include <stdlib.h>

#include "filigree/filigree.h"
#include "support/cmocka_all.h"

#define SKIP_WITHOUT_DEMO()                                                                        \
    do {                                                                                           \
        if (getenv("FIL_DEMO") == NULL) {                                                          \
            skip();                                                                                \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* The caller's to close. `dit`: another transformer, or NULL. */
static inline fil_model *demo_open(fil_ctx *ctx, const char *dit)
{
    fil_model        *model = NULL;
    fil_model_options m;
    fil_model_options_init(&m);
    m.dir = getenv("FIL_DEMO");
    m.dit = dit;
    if (fil_model_open(ctx, &m, &model) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    return model;
}

#endif
