/* wan/dit_hash.c: a hash that tells transformers apart (wan/dit_hash.h). */
#include <string.h>

#include "wan/dit_hash.h"

enum { SAMPLE = 64 };

static fil_status add_sample(fili_sha256 *h, fili_weights *w, const fili_dit_tensor *t,
                             uint64_t first, uint64_t n)
{
    uint16_t values[SAMPLE];
    FIL_TRY(fili_weights_read_part(w, t->name, FIL_BF16, first, n, values));
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t bytes[2] = {(uint8_t)values[i], (uint8_t)(values[i] >> 8)};
        fili_sha256_add(h, bytes, sizeof bytes);
    }
    return FIL_OK;
}

static fil_status add_tensor(fili_sha256 *h, fili_weights *w, const fili_dit_tensor *t)
{
    uint64_t n = 1;
    fili_sha256_add(h, t->name, strlen(t->name) + 1);
    for (uint32_t d = 0; d < t->rank; d++) {
        fili_sha256_add_number(h, (uint64_t)t->shape[d]);
        n *= (uint64_t)t->shape[d];
    }
    const uint64_t some = n < SAMPLE ? n : SAMPLE;
    FIL_TRY(add_sample(h, w, t, 0, some));
    return add_sample(h, w, t, n - some, some);
}

fil_status fili_dit_hash(fili_weights *w, const fili_dit_config *config, char hex[FILI_SHA256_HEX])
{
    static const char what[] = "filigree.dit.1";
    fili_sha256       h;
    fili_sha256_begin(&h);
    fili_sha256_add(&h, what, sizeof what);
    for (int32_t i = 0; i < fili_dit_tensors(config); i++) {
        fili_dit_tensor t;
        fili_dit_tensor_at(config, i, &t);
        FIL_TRY(add_tensor(&h, w, &t));
    }
    fili_sha256_end(&h, hex);
    return FIL_OK;
}
