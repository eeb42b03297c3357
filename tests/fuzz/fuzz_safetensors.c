/* tests/fuzz/fuzz_safetensors.c: any bytes as a safetensors file, read and mapped. What opens must
 * keep every invariant. The mutator works on the JSON header and then repairs the length and, half
 * of the time, the size of the data, since plain mutation hardly gets past the first eight bytes.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "support/invariants.h"

static void open_once(fil_ctx *ctx, uint32_t flags)
{
    fili_tensors set;
    fili_ctx_enter(ctx);
    fili_tensors_init(&set, ctx, flags);
    const fil_status status = fili_tensors_open(&set, "fuzz.safetensors");
    FUZZ_CHECK(status == fil_ctx_error(ctx)->status);
    if (status == FIL_OK) {
        /* The opener knows a GGUF by its first bytes, which an empty one hardly goes beyond. */
        const int   is_gguf = strcmp(set.format, "gguf") == 0;
        const char *why     = is_gguf ? tensors_broken(&set) : safetensors_broken(&set);
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

/* The largest number that stands before a ']': most often where the data should end. */
static size_t wanted_data(const uint8_t *text, size_t bytes)
{
    size_t best   = 0;
    size_t number = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            number = number < 100000 ? number * 10 + (size_t)(text[i] - '0') : number;
        } else {
            if (text[i] == ']' && number > best) best = number;
            number = 0;
        }
    }
    return best;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max_bytes, unsigned seed)
{
    if (bytes < 9 || max_bytes < 64 || seed % 8 == 0)
        return LLVMFuzzerMutate(data, bytes, max_bytes);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | data[i];
    const size_t rest   = bytes - 8;
    const size_t header = length < rest ? (size_t)length : rest;
    size_t       tail   = rest - header;
    uint8_t     *text   = malloc(max_bytes);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data + 8, header);
    const size_t room = max_bytes - 8;
    const size_t n    = LLVMFuzzerMutate(text, header, room);
    if (seed / 8 % 2 == 0) tail = wanted_data(text, n);
    if (tail > room - n) tail = room - n;
    for (int i = 0; i < 8; i++)
        data[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(data + 8, text, n);
    memset(data + 8 + n, 0x5a, tail);
    free(text);
    return 8 + n + tail;
}
