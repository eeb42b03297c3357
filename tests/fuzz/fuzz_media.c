/* tests/fuzz/fuzz_media.c: any bytes as a PNG or a WebP, and the settings in it. What our readers
 * do not read is libav's and not looked at here. Checksums of a PNG are put right first: no
 * mutation would get past them.
 */
#include <string.h>

#include "filigree/media.h"
#include "fuzz/fuzz.h"
#include "fuzz/memory_file.h"
#include "io/zip.h"

static size_t be32(const uint8_t *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static void mend(uint8_t *png, size_t bytes)
{
    for (size_t at = 8; at + 12 <= bytes && be32(png + at) <= bytes - at - 12;
         at += 12 + be32(png + at)) {
        const size_t   n   = be32(png + at);
        const uint32_t crc = fili_crc32(png + at + 4, n + 4);
        for (int i = 0; i < 4; i++)
            png[at + 8 + n + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    }
}

static void look(fil_ctx *ctx)
{
    fil_media       *media  = NULL;
    const fil_status status = fil_media_open(ctx, "m", &media);
    FUZZ_CHECK((status == FIL_OK) == (media != NULL));
    FUZZ_CHECK(status == FIL_OK || status == FIL_E_FORMAT);
    FUZZ_CHECK(status == fil_ctx_error(ctx)->status);
    if (media != NULL) {
        fil_media_info info;
        fil_media_info_get(media, &info);
        FUZZ_CHECK(info.width > 0 && info.height > 0 && info.frames > 0);
    }
    for (size_t i = 0; i < fil_media_settings(media); i++) {
        fil_media_setting s;
        fil_media_setting_get(media, i, &s);
        FUZZ_CHECK(strlen(s.section) + strlen(s.name) + strlen(s.value) < (size_t)1 << 24);
    }
    fil_media_close(&media);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes + 1);
    fil_ctx *ctx  = NULL;
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, bytes);
    mend(copy, bytes);
    memory_file   file = {.data = copy, .bytes = bytes};
    const fili_os os   = memory_file_table(&file);
    FUZZ_CHECK(fili_ctx_open_on(&os, &ctx, NULL) == FIL_OK);
    const char *format = fil_media_format(ctx, "m");
    if (format != NULL && (strcmp(format, "png") == 0 || strcmp(format, "webp") == 0)) look(ctx);
    FUZZ_CHECK(fil_ctx_memory(ctx).used == 0);
    fil_ctx_close(&ctx);
    FUZZ_CHECK(file.open == 0);
    free(copy);
    return 0;
}
