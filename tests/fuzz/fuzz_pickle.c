/* tests/fuzz/fuzz_pickle.c: any bytes as the data.pkl of a checkpoint with two storages. Tensors
 * that come out must lie inside a storage. Memory stays within what the limits allow.
 */
#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "support/invariants.h"
#include "support/pth_make.h"

enum { STORAGE0 = 64, STORAGE1 = 8, MAX_MEMORY = 64 << 20 };

static void check_inside(const fili_tensors *set, const zip_map *map)
{
    for (size_t i = 0; i < set->n_entries; i++) {
        const fili_entry *e   = &set->entries[i];
        const uint64_t    end = e->offset + e->bytes;
        FUZZ_CHECK((e->offset >= map->data[1] && end <= map->data[1] + STORAGE0) ||
                   (e->offset >= map->data[2] && end <= map->data[2] + STORAGE1));
    }
}

static void open_once(const buffer *archive, const zip_map *map)
{
    memory_file   file = {.data = archive->data, .bytes = archive->bytes};
    const fili_os os   = memory_file_table(&file);
    fil_ctx      *ctx  = NULL;
    fili_tensors  set;
    FUZZ_CHECK(fili_ctx_open_on(&os, &ctx, NULL) == FIL_OK);
    fili_tensors_init(&set, ctx, 0);
    const fil_status status = fili_tensors_open(&set, "fuzz.pth");
    FUZZ_CHECK(status == fil_ctx_error(ctx)->status);
    if (status == FIL_OK) {
        FUZZ_CHECK(tensors_broken(&set) == NULL);
        check_inside(&set, map);
    } else {
        FUZZ_CHECK(status == FIL_E_FORMAT || status == FIL_E_LIMIT || status == FIL_E_UNSUP);
        FUZZ_CHECK(fil_ctx_error(ctx)->message[0] != '\0');
    }
    fili_tensors_fini(&set);
    FUZZ_CHECK(fil_ctx_memory(ctx).used == 0 && fil_ctx_memory(ctx).peak < MAX_MEMORY);
    fil_ctx_close(&ctx);
    FUZZ_CHECK(file.open == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const unsigned char storage[STORAGE0];
    const zip_item             items[] = {
                    {"m/data.pkl", bytes > 0 ? (const void *)data : "", bytes},
                    {"m/data/0", storage, STORAGE0},
                    {"m/data/1", storage, STORAGE1},
    };
    buffer  archive = {0};
    zip_map map;
    zip_make(&archive, ZIP_TORCH, items, 3, &map);
    open_once(&archive, &map);
    buffer_free(&archive);
    return 0;
}
