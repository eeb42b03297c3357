/* tests/fuzz/fuzz_json.c: our JSON reader against jansson's, on any bytes. The first byte chooses
 * the flags. What we accept, jansson must accept with the same meaning; what we refuse as malformed
 * and jansson accepts must be one of the numbers that we refuse on purpose.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "io/json.h"

static void check_refused(const fil_ctx *ctx, fil_status status, int flags)
{
    const char *message = fil_ctx_error(ctx)->message;
    if (status == FIL_E_LIMIT) return; /* depth or number of values */
    FUZZ_CHECK(status == FIL_E_FORMAT);
    FUZZ_CHECK(strstr(message, "number") != NULL || strstr(message, "an integer") != NULL);
    FUZZ_CHECK(!(flags & FILI_JSON_REALS) || strstr(message, "negative") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    const int    flags = data[0] & 1 ? FILI_JSON_REALS : 0;
    const char  *text  = (const char *)data + 1;
    fil_ctx     *ctx   = NULL;
    fili_json    json;
    json_error_t error;
    FUZZ_CHECK(fil_ctx_open(&ctx, NULL) == FIL_OK);
    const fil_status status = fili_json_parse(ctx, "text", text, bytes - 1, 4096, flags, &json);
    json_t          *other  = json_loadb(text, bytes - 1, JSON_REJECT_DUPLICATES, &error);
    FUZZ_CHECK((status == FIL_OK) == (json.root != NULL));
    FUZZ_CHECK(status == fil_ctx_error(ctx)->status);
    if (status == FIL_OK)
        FUZZ_CHECK(other != NULL && json_equal(other, json.root));
    else if (other != NULL && memchr(text, '\0', bytes - 1) == NULL) /* jansson skips some NULs */
        check_refused(ctx, status, flags);
    json_decref(other);
    fili_json_fini(ctx, &json);
    fili_json_fini(ctx, &json);
    FUZZ_CHECK(fil_ctx_memory(ctx).used == 0);
    fil_ctx_close(&ctx);
    return 0;
}
