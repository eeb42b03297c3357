/* io/le.h: little-endian numbers from bytes of any alignment.
 *
 * Readers of files use these and never cast a pointer: the result does not depend on the machine's
 * byte order, and the caller has checked that the bytes are there.
 */
#ifndef FILI_IO_LE_H
#define FILI_IO_LE_H

#include <stdint.h>

static inline uint16_t fili_le16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t fili_le24(const unsigned char *p)
{
    return (uint32_t)fili_le16(p) | (uint32_t)p[2] << 16;
}

static inline uint32_t fili_le32(const unsigned char *p)
{
    return (uint32_t)fili_le16(p) | (uint32_t)fili_le16(p + 2) << 16;
}

static inline uint64_t fili_le64(const unsigned char *p)
{
    return (uint64_t)fili_le32(p) | (uint64_t)fili_le32(p + 4) << 32;
}

#endif
