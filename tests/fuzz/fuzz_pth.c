/* tests/fuzz/fuzz_pth.c: any bytes as a PyTorch checkpoint. What opens must keep every invariant.
 * The mutator repairs the CRC-32 of data.pkl three times out of four, since no mutation of the
 * pickle would get past it. The pickle alone: fuzz_pickle.c.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "io/le.h"
#include "io/zip.h"
#include "support/invariants.h"

static void open_once(fil_ctx *ctx, uint32_t flags)
{
    fili_tensors set;
    int32_t      source;
    fili_ctx_enter(ctx);
    fili_tensors_init(&set, ctx, flags);
    fil_status status = fili_tensors_source(&set, FILI_CWD, "fuzz.pth", 0, &source);
    if (status == FIL_OK) status = fili_pth_read_header(&set, source);
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

/* Gives the central entry at p the CRC-32 of what it points to, if that is there. */
static void repair(uint8_t *data, size_t bytes, uint8_t *p)
{
    const size_t local = fili_le32(p + 42);
    const size_t size  = fili_le32(p + 24);
    if (local > bytes || bytes - local < 30) return;
    const size_t head = 30u + fili_le16(data + local + 26) + fili_le16(data + local + 28);
    if (head > bytes - local || size > bytes - local - head) return;
    const uint32_t crc = fili_crc32(data + local + head, size);
    for (int i = 0; i < 4; i++)
        p[16 + i] = (uint8_t)(crc >> 8 * i);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max_bytes, unsigned seed)
{
    const size_t n = LLVMFuzzerMutate(data, bytes, max_bytes);
    if (seed % 4 == 0) return n;
    for (size_t i = 0; i + 46 <= n; i++)
        if (memcmp(data + i, "PK\1\2", 4) == 0) repair(data, n, data + i);
    return n;
}
