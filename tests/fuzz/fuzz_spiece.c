/* tests/fuzz/fuzz_spiece.c: any bytes as spiece.model. What the check lets through goes to the
 * library, which must refuse it in peace or work. Seed: the golden model.
 */
#include "fuzz/fuzz.h"
#include "io/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fil_ctx        *ctx = NULL;
    fili_tokenizer *t;
    int32_t         ids[FILI_TOKENIZER_MAX];
    int32_t         n;
    FUZZ_CHECK(fil_ctx_open(&ctx, NULL) == FIL_OK);
    const fil_status status = fili_tokenizer_open_bytes(ctx, "spiece.model", data, bytes, &t);
    FUZZ_CHECK((status == FIL_OK) == (t != NULL));
    if (t != NULL) {
        const fil_status asked = fili_tokenizer_ids(
            t, "A red \xe2\x91\xa0 cat\xe2\x80\xa6 \xe1\x9a\xa0 </s>", ids, &n, NULL);
        FUZZ_CHECK(asked == FIL_OK || asked == FIL_E_FORMAT);
    }
    fili_tokenizer_close(&t);
    FUZZ_CHECK(fil_ctx_memory(ctx).used == 0);
    fil_ctx_close(&ctx);
    return 0;
}
