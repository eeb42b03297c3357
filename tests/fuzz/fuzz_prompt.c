/* tests/fuzz/fuzz_prompt.c: any bytes as a prompt: cleaned, and cut into tokens by the small model
 * where the build has the library. Seeds: the golden prompts.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "io/text_clean.h"
#include "io/tokenizer.h"

static void check_clean(const char *text)
{
    const size_t n = strlen(text);
    FUZZ_CHECK(n == 0 || (text[0] != ' ' && text[n - 1] != ' '));
    for (size_t i = 0; i < n;) {
        const int length = fili_utf8_length((const unsigned char *)text + i, n - i);
        FUZZ_CHECK(length > 0);
        FUZZ_CHECK(text[i] != '\n' && text[i] != '\t' && text[i] != '\r');
        FUZZ_CHECK(text[i] != ' ' || text[i + 1] != ' ');
        i += (size_t)length;
    }
}

static void check_ids(fil_ctx *ctx, const char *text)
{
    fili_tokenizer *t;
    int32_t         ids[FILI_TOKENIZER_MAX];
    int32_t         n;
    int             cut;
    if (fili_tokenizer_open(ctx, FIL_GOLDEN "/tokenizer", &t) != FIL_OK) {
        FUZZ_CHECK(fil_ctx_error(ctx)->status == FIL_E_UNSUP);
        return;
    }
    FUZZ_CHECK(fili_tokenizer_ids(t, text, ids, &n, &cut) == FIL_OK);
    FUZZ_CHECK(n >= 1 && n <= FILI_TOKENIZER_MAX && ids[n - 1] == 1 && cut >= 0);
    for (int32_t i = 0; i < n; i++)
        FUZZ_CHECK(ids[i] >= 0 && ids[i] < fili_tokenizer_size(t));
    fili_tokenizer_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fil_ctx *ctx  = NULL;
    char    *text = malloc(bytes + 1);
    char    *clean;
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    FUZZ_CHECK(fil_ctx_open(&ctx, NULL) == FIL_OK);
    const fil_status status = fili_text_clean(ctx, text, &clean);
    FUZZ_CHECK(status == FIL_OK || status == FIL_E_ARG || status == FIL_E_LIMIT);
    FUZZ_CHECK((status == FIL_OK) == (clean != NULL));
    if (status == FIL_OK) {
        check_clean(clean);
        fili_text_free(ctx, clean);
        check_ids(ctx, text);
    }
    FUZZ_CHECK(fil_ctx_memory(ctx).used == 0);
    fil_ctx_close(&ctx);
    free(text);
    return 0;
}
