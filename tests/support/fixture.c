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

void *fixture_tensor(fil_ctx *ctx, const char *path, const char *tensor, fil_dtype dtype,
                     int64_t *n)
{
    fili_tensors set;
    fili_tensors_init(&set, ctx, 0);
    if (fili_tensors_open(&set, path) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    const fili_entry *e = fili_tensors_find(&set, tensor);
    if (e == NULL) fail_msg("%s has no tensor '%s'", path, tensor);
    assert_int_equal(e->dtype, dtype);
    void *data = malloc((size_t)e->bytes + 1);
    assert_non_null(data);
    assert_int_equal(fili_tensors_read(&set, e, 0, data, e->bytes), FIL_OK);
    *n = (int64_t)(e->bytes / (fil_dtype_bits(dtype) / 8));
    fili_tensors_fini(&set);
    return data;
}

int32_t *fixture_i32(fil_ctx *ctx, const char *path, const char *tensor, int32_t *n)
{
    int64_t  count;
    int32_t *data = fixture_tensor(ctx, path, tensor, FIL_I32, &count);
    *n            = (int32_t)count;
    return data;
}
