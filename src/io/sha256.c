/* io/sha256.c: SHA-256 as FIPS 180-4 section 6.2 states it (io/sha256.h). */
#include <string.h>

#include "io/sha256.h"

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void fill_words(uint32_t w[64], const uint8_t block[64])
{
    for (size_t t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | (uint32_t)block[4 * t + 3];
    for (int t = 16; t < 64; t++) {
        const uint32_t a = turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10;
        const uint32_t b = turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3;
        w[t]             = a + w[t - 7] + b + w[t - 16];
    }
}

static void add_block(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64];
    uint32_t s[8]; /* a to h */
    memcpy(s, state, sizeof s);
    fill_words(w, block);
    for (int t = 0; t < 64; t++) {
        const uint32_t big1   = turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25);
        const uint32_t choose = (s[4] & s[5]) ^ (~s[4] & s[6]);
        const uint32_t one    = s[7] + big1 + choose + constants[t] + w[t];
        const uint32_t big0   = turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22);
        const uint32_t most   = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + big0 + most;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

void fili_sha256_begin(fili_sha256 *h)
{
    *h = (fili_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void fili_sha256_add(fili_sha256 *h, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        const size_t held = (size_t)(h->bytes % 64);
        const size_t n    = bytes < 64 - held ? bytes : 64 - held;
        memcpy(h->block + held, at, n);
        h->bytes += n;
        at += n;
        bytes -= n;
        if (held + n == 64) add_block(h->state, h->block);
    }
}

void fili_sha256_add_number(fili_sha256 *h, uint64_t value)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    fili_sha256_add(h, bytes, sizeof bytes);
}

void fili_sha256_end(fili_sha256 *h, char hex[FILI_SHA256_HEX])
{
    static const char    digits[] = "0123456789abcdef";
    static const uint8_t pad[64]  = {0x80};
    const uint64_t       bits     = h->bytes * 8;
    const size_t         held     = (size_t)(h->bytes % 64);
    uint8_t              length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    fili_sha256_add(h, pad, held < 56 ? 56 - held : 120 - held);
    fili_sha256_add(h, length, sizeof length);
    for (int i = 0; i < 64; i++)
        hex[i] = digits[h->state[i / 8] >> (28 - 4 * (i % 8)) & 15u];
    hex[64] = '\0';
}
