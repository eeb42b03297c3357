/* tests/support/fixture.h: tensors of the outside fixtures, found through FIL_FIXTURES.
 * Without that variable a test that needs them skips itself by name.
 */
#ifndef TESTS_SUPPORT_FIXTURE_H
#define TESTS_SUPPORT_FIXTURE_H

#include "base/ctx.h"

/* FIL_FIXTURES/name in static storage, valid until the next call; NULL if the variable is not set.
 */
const char *fixture_path(const char *name);

/* A whole i32 tensor of a file of tensors, to be freed with free(); *n = its elements. Fails the
 * test if it is not there. */
int32_t *fixture_i32(fil_ctx *ctx, const char *path, const char *tensor, int32_t *n);

#endif
