/* tests/fuzz/fuzz_topology.c: any bytes as a topology file. What opens must be readable within its
 * own sizes, and every failure is one of those that the header names.
 */
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "sparse/topology.h"

static void known(const fil_ctx *ctx, fil_status status)
{
    FUZZ_CHECK(status == FIL_OK || status == FIL_E_FORMAT || status == FIL_E_LIMIT ||
               status == FIL_E_UNSUP || status == FIL_E_MISMATCH || status == FIL_E_NOMEM);
    FUZZ_CHECK(status == FIL_OK || fil_ctx_error(ctx)->message[0] != '\0');
}

/* Indices that pass are below the number of levels. */
static void read_maps(const fili_topology *t, fil_ctx *ctx)
{
    const size_t bytes = (size_t)fili_topology_map_bytes(&t->info);
    uint8_t     *map   = malloc(bytes);
    FUZZ_CHECK(map != NULL);
    for (int32_t l = 0; l < t->info.layers; l++) {
        fili_ctx_enter(ctx);
        const fil_status status = fili_topology_read_map(t, l, t->info.groups - 1, 0, map);
        known(ctx, status);
        for (size_t i = 0; i < bytes && status == FIL_OK; i++)
            FUZZ_CHECK(map[i] < t->info.n_levels);
    }
    free(map);
}

static void read_profile(const fili_topology *t, fil_ctx *ctx)
{
    const size_t bytes  = (size_t)fili_topology_profile_bytes(&t->info);
    float       *values = malloc(bytes);
    FUZZ_CHECK(values != NULL);
    fili_ctx_enter(ctx);
    known(ctx, fili_topology_read_profile(t, t->density, values));
    free(values);
}

static void open_once(fil_ctx *ctx)
{
    static fili_topology t;
    const fil_status     status = fili_topology_open(&t, ctx, "fuzz.safetensors");
    known(ctx, status);
    if (status == FIL_OK) {
        read_maps(&t, ctx);
        read_profile(&t, ctx);
    }
    fili_topology_close(&t);
    FUZZ_CHECK(fil_ctx_memory(ctx).used == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    memory_file   file = {.data = data, .bytes = bytes};
    const fili_os os   = memory_file_table(&file);
    fil_ctx      *ctx  = NULL;
    FUZZ_CHECK(fili_ctx_open_on(&os, &ctx, NULL) == FIL_OK);
    open_once(ctx);
    fil_ctx_close(&ctx);
    FUZZ_CHECK(file.open == 0);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t max_bytes, unsigned seed)
{
    (void)seed;
    return LLVMFuzzerMutate(data, bytes, max_bytes);
}
