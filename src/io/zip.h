/* io/zip.h: the directory of a ZIP archive whose entries are stored, not compressed.
 *
 * Source: PKWARE, .ZIP File Format Specification (APPNOTE.TXT), 4.3 to 4.5; ZIP64 included. Written
 * for PyTorch checkpoints: one disk, no compression, no encryption, the archive begins with the
 * file and its directory ends it. Everything else is refused by name. The central directory is the
 * authority; every local header must agree with it, and the entries must follow each other without
 * overlap or hole.
 *
 * CRC-32 is checked by fili_zip_read, which is for the small entries that say how to read the rest
 * (data.pkl). Storages are not: they may be gigabytes that nobody asks for, reading them would turn
 * opening into a full read, and a CRC detects accidents, not intent. The data descriptor behind an
 * entry repeats what the directory says and is not read; only its length is counted.
 */
#ifndef FILI_IO_ZIP_H
#define FILI_IO_ZIP_H

#include "base/file.h"

#define FILI_ZIP_NAME  1024u /* bytes of one entry's name */
#define FILI_ZIP_SPARE 64u   /* entries allowed beyond the limit on tensors */

typedef struct fili_zip_entry {
    const char *name; /* not NUL-terminated; in the directory */
    uint32_t    name_bytes;
    uint32_t    crc;
    uint32_t    flags;  /* general purpose bits */
    uint32_t    behind; /* bytes of the data descriptor */
    uint64_t    header; /* of the local header, from the beginning of the file */
    uint64_t    offset; /* of the data */
    uint64_t    bytes;
} fili_zip_entry;

typedef struct fili_zip {
    fil_ctx         *ctx;
    const fili_file *file;    /* borrowed */
    fili_zip_entry  *entries; /* ordered by name */
    size_t           n_entries;
    unsigned char   *directory;
    size_t           directory_bytes;
    uint64_t         directory_offset;
} fili_zip;

/* Reads and checks the whole directory: the end of the file, the central directory and one local
 * header per entry. E_FORMAT; E_UNSUP: compressed, encrypted or split; E_LIMIT: directory larger
 * than header_bytes, or more entries than tensors + FILI_ZIP_SPARE; E_IO; E_NOMEM. On failure
 * nothing is held. */
FIL_MUSTCHECK fil_status fili_zip_open(fil_ctx *ctx, const fili_file *file, fili_zip *zip);

/* Idempotent. */
void fili_zip_fini(fili_zip *zip);

/* NULL if there is none. Binary search. */
const fili_zip_entry *fili_zip_find(const fili_zip *zip, const char *name, size_t bytes);

/* The whole entry into dst (entry->bytes bytes, checked by the caller against its own limit), and
 * its CRC-32 verified. E_FORMAT, E_IO. */
FIL_MUSTCHECK fil_status fili_zip_read(const fili_zip *zip, const fili_zip_entry *entry, void *dst);

/* CRC-32 of ISO 3309 (polynomial 0x04C11DB7, reflected), as in ZIP. */
uint32_t fili_crc32(const void *data, size_t bytes);
/* Of data in parts: `crc` is that of the parts before, 0 before the first. */
uint32_t fili_crc32_more(uint32_t crc, const void *data, size_t bytes);

#endif
