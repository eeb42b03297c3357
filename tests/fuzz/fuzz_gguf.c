/* tests/fuzz/fuzz_gguf.c: any bytes as a GGUF file, read and mapped. What opens must keep every
 * invariant. The mutator puts the magic, a version and small counts back three times out of four,
 * and half of the time pads the end, where the data should be.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "io/le.h"
#include "support/invariants.h"

static void open_once(fil_ctx *ctx, uint32_t flags)
{
    fili_tensors set;
    int32_t      source;
    fili_ctx_enter(ctx);
    fili_tensors_init(&set, ctx, flags);
    fil_status status = fili_tensors_source(&set, FILI_CWD, "fuzz.gguf", 0, &source);
    if (status == FIL_OK) status = fili_gguf_read_header(&set, source);
    if (status == FIL_OK) status = fili_tensors_seal(&set);
    FUZZ_CHECK(status == fil_ctx_error(ctx)->status);
    if (status == FIL_OK) {
        const char *why = tensors_broken(&set);
        if (why != NULL) fprintf(stderr, "%s\n", why);
        FUZZ_CHECK(why == NULL);
    } else {
        FUZZ_CHECK(status == FIL_E_FORMAT || status == FIL_E_LIMIT || status == FIL_E_UNSUP);
        FUZZ_CHECK(fil_ctx_error(ctx)->message[0] != '\0');
    }
    fili_tensors_fini(&set);
    FUZZ_CHECK(fil_ctx_memory(ctx).used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    memory_file   file = {.data = data, .bytes = bytes};
    const fili_os os   = memory_file_table(&file);
    fil_ctx      *ctx  = NULL;
    FUZZ_CHECK(fili_ctx_open_on(&os, &ctx, NULL) == FIL_OK);
    open_once(ctx, 0);
    open_once(ctx, FIL_OPEN_TRUSTED);
    fil_ctx_close(&ctx);
    FUZZ_CHECK(file.open == 0 && file.mapped == 0);
    return 0;
}

/* Zeros up to a multiple of 32 and a few more: room for the data of tensors. */
static size_t pad(uint8_t *data, size_t bytes, size_t max_bytes, unsigned seed)
{
    size_t end = (bytes + 31) / 32 * 32 + 32 * (seed / 8 % 8);
    if (end > max_bytes) end = max_bytes;
    if (end > bytes) memset(data + bytes, 0, end - bytes);
    return end;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max_bytes, unsigned seed)
{
    size_t n = LLVMFuzzerMutate(data, bytes, max_bytes);
    if (seed % 4 == 0 || n < 24) return n;
    memcpy(data, "GGUF", 4);
    if (fili_le32(data + 4) > 4) memcpy(data + 4, "\3\0\0\0", 4);
    memset(data + 9, 0, 7); /* fewer than 256 tensors and pairs */
    memset(data + 17, 0, 7);
    return seed % 8 < 4 ? pad(data, n, max_bytes, seed) : n;
}
