/* tests/support/fixture.c: reading outside fixtures (fixture.h). */
#include <stdio.h>
#include <stdlib.h>

#include "io/tensors.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

const char *fixture_path(const char *name)
{
    static char path[512];
    const char *root = getenv("FIL_FIXTURES");
    if (root == NULL || root[0] == '\0') return NULL;
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

int32_t *fixture_i32(fil_ctx *ctx, const char *path, const char *tensor, int32_t *n)
{
    fili_tensors set;
    fili_tensors_init(&set, ctx, 0);
    if (fili_tensors_open(&set, path) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    const fili_entry *e = fili_tensors_find(&set, tensor);
    assert_non_null(e);
    assert_int_equal(e->dtype, FIL_I32);
    int32_t *data = malloc((size_t)e->bytes);
    assert_non_null(data);
    assert_int_equal(fili_tensors_read(&set, e, 0, data, e->bytes), FIL_OK);
    *n = (int32_t)(e->bytes / sizeof *data);
    fili_tensors_fini(&set);
    return data;
}
