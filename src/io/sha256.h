/* io/sha256.h: SHA-256 (FIPS 180-4), to tell whether two things are the same. Not a secret in
 * sight: nothing here is made to withstand timing.
 */
#ifndef FILI_IO_SHA256_H
#define FILI_IO_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { FILI_SHA256_HEX = 65 }; /* 64 digits and a NUL */

typedef struct fili_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t  block[64];
} fili_sha256;

void fili_sha256_begin(fili_sha256 *h);
void fili_sha256_add(fili_sha256 *h, const void *data, size_t bytes);
/* Eight bytes, little-endian on any machine. */
void fili_sha256_add_number(fili_sha256 *h, uint64_t value);
/* Lower-case hexadecimal digits; h is used up. */
void fili_sha256_end(fili_sha256 *h, char hex[FILI_SHA256_HEX]);

#endif
