/* tests/support/folder_rig.h: an empty folder and a context for each test; *state is the context.
 * At the end none of its memory may be left in use.
 */
#ifndef TESTS_SUPPORT_FOLDER_RIG_H
#define TESTS_SUPPORT_FOLDER_RIG_H

#include "filigree/filigree.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static inline int folder_rig_open(scratch *dir, void **state)
{
    fil_ctx *ctx = NULL;
    scratch_make(dir);
    if (fil_ctx_open(&ctx, NULL) != FIL_OK) return -1;
    *state = ctx;
    return 0;
}

static inline int folder_rig_close(scratch *dir, void **state)
{
    fil_ctx *ctx = *state;
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
    scratch_remove(dir);
    return 0;
}

#endif
