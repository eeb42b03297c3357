/* tests/support/media_make.h: small PNG and WebP files, chunk by chunk; right or wrong, as the
 * caller wants them. The pictures in them are none.
 */
#ifndef TESTS_SUPPORT_MEDIA_MAKE_H
#define TESTS_SUPPORT_MEDIA_MAKE_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "io/zip.h"

typedef struct media_bytes {
    uint8_t data[4096];
    size_t  n;
} media_bytes;

static inline void media_put(media_bytes *m, const void *data, size_t bytes)
{
    assert(m->n + bytes <= sizeof m->data);
    memcpy(m->data + m->n, data, bytes);
    m->n += bytes;
}

static inline void media_be32(media_bytes *m, uint32_t v)
{
    const uint8_t b[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    media_put(m, b, sizeof b);
}

static inline void media_le(media_bytes *m, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8)
        media_put(m, &(uint8_t){(uint8_t)v}, 1);
}

static inline void png_chunk(media_bytes *m, const char *type, const void *data, size_t bytes)
{
    media_be32(m, (uint32_t)bytes);
    const size_t begin = m->n;
    media_put(m, type, 4);
    media_put(m, data, bytes);
    media_be32(m, fili_crc32(m->data + begin, m->n - begin));
}

/* Signature and header. */
static inline void png_begin(media_bytes *m, uint32_t width, uint32_t height)
{
    media_bytes h = {.n = 0};
    m->n          = 0;
    media_be32(&h, width);
    media_be32(&h, height);
    media_put(&h, "\x08\x02\0\0", 5);
    media_put(m, "\x89PNG\r\n\x1a\n", 8);
    png_chunk(m, "IHDR", h.data, h.n);
}

/* A literal that may hold NUL, without its own. */
#define PNG_TEXT(m, type, literal) png_chunk(m, type, literal, sizeof(literal) - 1)

static inline void png_end(media_bytes *m)
{
    png_chunk(m, "IDAT", "picture", 7);
    png_chunk(m, "IEND", "", 0);
}

static inline void webp_chunk(media_bytes *m, const char *type, const void *data, size_t bytes)
{
    media_put(m, type, 4);
    media_le(m, (uint32_t)bytes, 4);
    media_put(m, data, bytes);
    if (bytes % 2 != 0) media_put(m, "", 1);
}

static inline void webp_begin(media_bytes *m)
{
    m->n = 0;
    media_put(m, "RIFF\0\0\0\0WEBP", 12); /* the length of all is looked at by nobody */
}

/* So many frames of so many milliseconds each. */
static inline void webp_animation(media_bytes *m, uint32_t width, uint32_t height, int frames,
                                  uint32_t ms)
{
    media_bytes c = {.n = 0};
    media_put(&c, "\x02\0\0\0", 4);
    media_le(&c, width - 1, 3);
    media_le(&c, height - 1, 3);
    webp_begin(m);
    webp_chunk(m, "VP8X", c.data, c.n);
    webp_chunk(m, "ANIM", "\0\0\0\0\0\0", 6);
    for (int i = 0; i < frames; i++) {
        c.n = 0;
        media_put(&c, "\0\0\0\0\0\0\0\0\0\0\0", 12);
        media_le(&c, ms, 3);
        media_put(&c, "\0frame", 6);
        webp_chunk(m, "ANMF", c.data, c.n);
    }
}

#endif
