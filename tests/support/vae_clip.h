/* tests/support/vae_clip.h: the frames of a decode, kept. */
#ifndef TESTS_SUPPORT_VAE_CLIP_H
#define TESTS_SUPPORT_VAE_CLIP_H

#include <stdlib.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "wan/vae.h"

typedef struct clip {
    float  *rgb; /* [n][3, h, w] */
    int32_t n, h, w;
} clip;

/* A fili_frame_fn: frames come in their order. user: a clip, whose rgb is to be freed. */
static inline fil_status keep_frame(void *user, int32_t index, const float *rgb, int32_t h,
                                    int32_t w)
{
    clip        *c    = user;
    const size_t size = 3 * (size_t)h * (size_t)w;
    assert_int_equal(index, c->n);
    c->rgb = realloc(c->rgb, (size_t)(index + 1) * size * sizeof *c->rgb);
    assert_non_null(c->rgb);
    memcpy(c->rgb + (size_t)index * size, rgb, size * sizeof *rgb);
    c->n = index + 1;
    c->h = h;
    c->w = w;
    return FIL_OK;
}

#endif
