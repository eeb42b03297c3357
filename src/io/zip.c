/* io/zip.c: reads and checks the directory of a stored ZIP archive (io/zip.h).
 *
 * Order: find the end record, bound what it asks for, read the directory in one piece, check each
 * entry there, then each local header, then that the entries tile the file. Nothing is allocated
 * from a number that has not been compared with the file's size and the context's limits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/le.h"
#include "io/zip.h"

#define END_SIG     0x06054b50u
#define END64_SIG   0x06064b50u
#define LOCATOR_SIG 0x07064b50u
#define CENTRAL_SIG 0x02014b50u
#define LOCAL_SIG   0x04034b50u

enum {
    END_BYTES          = 22,
    END64_BYTES        = 56,
    LOCATOR_BYTES      = 20,
    CENTRAL_BYTES      = 46,
    LOCAL_BYTES        = 30,
    LOCAL_EXTRA        = 128, /* read along with a local header: what torch writes fits */
    DESCRIPTOR_BYTES   = 16,  /* signature, CRC-32, two sizes of 32 bits */
    DESCRIPTOR64_BYTES = 24,  /* of 64 bits, where the local header has a ZIP64 area */
    MAX_COMMENT        = 65535,
    EXTRA_ZIP64        = 1
};

enum {
    FLAG_ENCRYPTED  = 1 << 0,
    FLAG_LEVEL      = 3 << 1, /* compression level: no meaning for stored entries */
    FLAG_DESCRIPTOR = 1 << 3, /* CRC and sizes stand behind the data */
    FLAG_STRONG     = 1 << 6,
    FLAG_UTF8       = 1 << 11,
    FLAG_MASKED     = 1 << 13
};

/* Where the directory lies, after ZIP64 has had its say. */
typedef struct extent {
    uint64_t offset, bytes, entries;
    uint64_t end; /* where the end record (or the ZIP64 one) begins */
} extent;

/* ---- CRC-32 --------------------------------------------------------------------------------- */

/* Remainders of the 16 nibbles. */
static const uint32_t crc_table[16] = {
    0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
    0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};

static uint32_t crc_step(uint32_t crc)
{
    return crc_table[crc & 15] ^ crc >> 4;
}

/* Whole words: their eight nibbles are looked up side by side, each with the steps that are still
 * to come behind it (Kounavis and Berry, 2005, with nibbles for bytes: 512 bytes of tables, made
 * anew in less time than a cache miss takes). */
static uint32_t crc_words(uint32_t crc, const unsigned char *p, size_t words)
{
    uint32_t t[8][16];
    memcpy(t[0], crc_table, sizeof crc_table);
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 16; i++)
            t[k][i] = crc_step(t[k - 1][i]);
    for (size_t w = 0; w < words; w++, p += 4) {
        crc ^= fili_le32(p);
        crc = t[7][crc & 15] ^ t[6][crc >> 4 & 15] ^ t[5][crc >> 8 & 15] ^ t[4][crc >> 12 & 15] ^
              t[3][crc >> 16 & 15] ^ t[2][crc >> 20 & 15] ^ t[1][crc >> 24 & 15] ^ t[0][crc >> 28];
    }
    return crc;
}

uint32_t fili_crc32_more(uint32_t crc, const void *data, size_t bytes)
{
    const unsigned char *p     = data;
    const size_t         words = bytes >= 64 ? bytes / 4 : 0;
    crc                        = ~crc;
    if (words > 0) crc = crc_words(crc, p, words);
    for (size_t i = 4 * words; i < bytes; i++)
        crc = crc_step(crc_step(crc ^ p[i]));
    return ~crc;
}

uint32_t fili_crc32(const void *data, size_t bytes)
{
    return fili_crc32_more(0, data, bytes);
}

/* ---- the end of the file -------------------------------------------------------------------- */

/* Position of the end record in the last `bytes` bytes of the file: the last one whose comment
 * reaches exactly to the end. -1: none. */
static int64_t find_end(const unsigned char *tail, size_t bytes)
{
    for (int64_t i = (int64_t)bytes - END_BYTES; i >= 0; i--) {
        const unsigned char *p = tail + i;
        if (fili_le32(p) == END_SIG && fili_le16(p + 20) == bytes - (size_t)i - END_BYTES) return i;
    }
    return -1;
}

/* A field of the end record against the ZIP64 one: equal, or saturated. */
static bool agrees(uint64_t narrow, uint64_t saturated, uint64_t wide)
{
    return narrow == saturated || narrow == wide;
}

/* locator: its 20 bytes; `at` its position in the file. Replaces *e by the ZIP64 figures. */
static fil_status read_end64(fil_ctx *ctx, const fili_file *file, const unsigned char *locator,
                             uint64_t at, extent *e)
{
    unsigned char  r[END64_BYTES];
    const uint64_t where = fili_le64(locator + 8);
    uint64_t       end;
    if (fili_le32(locator + 4) != 0 || fili_le32(locator + 16) > 1)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "zip: the archive is split over several disks");
    if (!fili_add_u64(where, END64_BYTES, &end) || end > at)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: the ZIP64 end record at byte %llu does not lie before its locator at "
                        "%llu",
                        (unsigned long long)where, (unsigned long long)at);
    FIL_TRY(fili_file_read(ctx, file, where, r, sizeof r));
    uint64_t size = fili_le64(r + 4);
    if (fili_le32(r) != END64_SIG || !fili_add_u64(size, 12, &size) || size < END64_BYTES ||
        size != at - where)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: the ZIP64 end record at byte %llu is malformed or does not end at "
                        "its locator",
                        (unsigned long long)where);
    if (fili_le32(r + 16) != 0 || fili_le32(r + 20) != 0 || fili_le64(r + 24) != fili_le64(r + 32))
        return FIL_FAIL(ctx, FIL_E_UNSUP, "zip: the archive is split over several disks");
    const extent wide = {.entries = fili_le64(r + 32),
                         .bytes   = fili_le64(r + 40),
                         .offset  = fili_le64(r + 48),
                         .end     = where};
    if (!agrees(e->entries, 0xffff, wide.entries) || !agrees(e->bytes, 0xffffffff, wide.bytes) ||
        !agrees(e->offset, 0xffffffff, wide.offset))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: the end record and its ZIP64 record disagree on the directory");
    *e = wide;
    return FIL_OK;
}

static fil_status check_extent(fil_ctx *ctx, const extent *e)
{
    const uint64_t max_entries = ctx->opt.limits.tensors + FILI_ZIP_SPARE;
    const uint64_t max_bytes   = ctx->opt.limits.header_bytes;
    uint64_t       end;
    if (!fili_add_u64(e->offset, e->bytes, &end) || end != e->end)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: the directory at byte %llu + %llu does not end where its end record "
                        "begins, at %llu",
                        (unsigned long long)e->offset, (unsigned long long)e->bytes,
                        (unsigned long long)e->end);
    if (e->bytes > max_bytes)
        return FIL_FAIL(ctx, FIL_E_LIMIT,
                        "zip: the directory has %llu bytes; the limit is %llu (header_bytes)",
                        (unsigned long long)e->bytes, (unsigned long long)max_bytes);
    if (e->entries > max_entries)
        return FIL_FAIL(ctx, FIL_E_LIMIT,
                        "zip: the directory has %llu entries; the limit is %llu (tensors + %u)",
                        (unsigned long long)e->entries, (unsigned long long)max_entries,
                        FILI_ZIP_SPARE);
    if (e->entries > e->bytes / CENTRAL_BYTES)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "zip: %llu entries do not fit a directory of %llu bytes",
                        (unsigned long long)e->entries, (unsigned long long)e->bytes);
    return FIL_OK;
}

/* tail: the last `bytes` bytes of the file. */
static fil_status locate(fil_ctx *ctx, const fili_file *file, const unsigned char *tail,
                         size_t bytes, extent *e)
{
    const int64_t i = find_end(tail, bytes);
    if (i < 0)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: no end record in the last %zu bytes; it is no archive, or its "
                        "download was cut short",
                        bytes);
    const unsigned char *p = tail + i;
    e->end                 = file->size - bytes + (uint64_t)i;
    e->entries             = fili_le16(p + 10);
    e->bytes               = fili_le32(p + 12);
    e->offset              = fili_le32(p + 16);
    if (fili_le16(p + 4) != 0 || fili_le16(p + 6) != 0 || fili_le16(p + 8) != e->entries)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "zip: the archive is split over several disks");
    const bool wide = i >= LOCATOR_BYTES && fili_le32(p - LOCATOR_BYTES) == LOCATOR_SIG;
    if (wide) FIL_TRY(read_end64(ctx, file, p - LOCATOR_BYTES, e->end - LOCATOR_BYTES, e));
    return check_extent(ctx, e);
}

static fil_status find_directory(fil_ctx *ctx, const fili_file *file, extent *e)
{
    const uint64_t most = END_BYTES + MAX_COMMENT + LOCATOR_BYTES;
    const size_t   n    = (size_t)(file->size < most ? file->size : most);
    void          *tail = NULL;
    fil_status     status;
    if (n < END_BYTES)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: the file has %zu bytes; an archive has at least 22", n);
    FIL_TRY(fili_alloc(ctx, n, "zip directory", &tail));
    FIL_TRY_OR(done, fili_file_read(ctx, file, file->size - n, tail, n));
    FIL_TRY_OR(done, locate(ctx, file, tail, n, e));
done:
    fili_free(ctx, tail, n);
    return status;
}

/* ---- one entry ------------------------------------------------------------------------------ */

static fili_quoted quote(const fili_zip_entry *e)
{
    return fili_quote(e->name, e->name_bytes);
}

/* An entry's name never becomes a path here; but no honest writer makes such names. A trailing
 * slash (a folder) is let through. */
static bool is_plain_path(const char *name, size_t bytes)
{
    size_t part = 0;
    if (bytes == 0 || name[0] == '/') return false;
    for (size_t i = 0; i <= bytes; i++) {
        if (i < bytes && name[i] == '\\') return false;
        if (i < bytes && name[i] != '/') continue;
        const size_t n = i - part;
        if (n == 0 && i < bytes) return false;
        if ((n == 1 || n == 2) && memcmp(name + part, "..", n) == 0) return false;
        part = i + 1;
    }
    return true;
}

static fil_status check_name(fil_ctx *ctx, const fili_zip_entry *e)
{
    const fili_quoted q = quote(e);
    if (e->name_bytes > FILI_ZIP_NAME)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "zip: entry name '%s' has %u bytes; the limit is %u",
                        q.text, e->name_bytes, FILI_ZIP_NAME);
    if (!fili_is_printable(e->name, e->name_bytes))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: entry name '%s' has a control character or is not UTF-8", q.text);
    if (!is_plain_path(e->name, e->name_bytes))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: entry name '%s' is no plain relative path with forward slashes",
                        q.text);
    return FIL_OK;
}

static fil_status check_kind(fil_ctx *ctx, const fili_zip_entry *e, uint32_t method)
{
    const uint32_t known    = FLAG_LEVEL | FLAG_DESCRIPTOR | FLAG_UTF8;
    const uint32_t ciphered = FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED;
    if ((e->flags & ciphered) != 0)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "zip: entry '%s' is encrypted", quote(e).text);
    if ((e->flags & ~known) != 0)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "zip: entry '%s' has unknown flags 0x%04x", quote(e).text,
                        e->flags & ~known);
    if (method != 0)
        return FIL_FAIL(ctx, FIL_E_UNSUP,
                        "zip: entry '%s' is compressed (method %u%s); a checkpoint's entries are "
                        "stored (method 0)",
                        quote(e).text, method, method == 8 ? ", deflate" : "");
    return FIL_OK;
}

/* Fields that an extra area of ZIP64 may widen, in its order. NULL: this one is not wanted. */
typedef struct widened {
    uint64_t *field[3];
    bool      found; /* out: there is such an area */
} widened;

/* Walks the extra area (id, size, content ...) and takes the wanted fields from the one ZIP64
 * record. */
static bool take_zip64(const unsigned char *extra, size_t bytes, widened *want)
{
    const unsigned char *record = NULL;
    size_t               size   = 0;
    while (bytes > 0) {
        if (bytes < 4) return false;
        const size_t n = fili_le16(extra + 2);
        if (n > bytes - 4) return false;
        if (fili_le16(extra) == EXTRA_ZIP64) {
            if (record != NULL) return false;
            record = extra + 4;
            size   = n;
        }
        extra += 4 + n;
        bytes -= 4 + n;
    }
    want->found = record != NULL;
    for (int i = 0; i < 3; i++) {
        if (want->field[i] == NULL) continue;
        if (size < 8) return false;
        *want->field[i] = fili_le64(record);
        record += 8;
        size -= 8;
    }
    return true;
}

static uint64_t *if_saturated(uint64_t *field)
{
    return *field == 0xffffffff ? field : NULL;
}

/* One central entry of the `left` bytes at p; *used = its length. */
static fil_status read_central(fil_ctx *ctx, const unsigned char *p, size_t left, fili_zip_entry *e,
                               size_t *used)
{
    if (left < CENTRAL_BYTES || fili_le32(p) != CENTRAL_SIG)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "zip: the directory has no entry where one is expected");
    const size_t name    = fili_le16(p + 28);
    const size_t extra   = fili_le16(p + 30);
    const size_t comment = fili_le16(p + 32);
    *used                = CENTRAL_BYTES + name + extra + comment;
    if (*used > left)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "zip: a directory entry of %zu bytes has %zu left",
                        *used, left);
    uint64_t packed = fili_le32(p + 20);
    *e              = (fili_zip_entry){.name       = (const char *)p + CENTRAL_BYTES,
                                       .name_bytes = (uint32_t)name,
                                       .flags      = fili_le16(p + 8),
                                       .crc        = fili_le32(p + 16),
                                       .bytes      = fili_le32(p + 24),
                                       .header     = fili_le32(p + 42)};
    FIL_TRY(check_name(ctx, e));
    FIL_TRY(check_kind(ctx, e, fili_le16(p + 10)));
    widened want = {
        .field = {if_saturated(&e->bytes), if_saturated(&packed), if_saturated(&e->header)}};
    if (!take_zip64(p + CENTRAL_BYTES + name, extra, &want))
        return FIL_FAIL(ctx, FIL_E_FORMAT, "zip: entry '%s' has a malformed extra area",
                        quote(e).text);
    if (fili_le16(p + 34) != 0)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "zip: entry '%s' lies on another disk", quote(e).text);
    if (packed != e->bytes)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "zip: stored entry '%s' has %llu bytes, but %llu when packed",
                        quote(e).text, (unsigned long long)e->bytes, (unsigned long long)packed);
    return FIL_OK;
}

/* ---- local headers -------------------------------------------------------------------------- */

/* p: the local header; area: its extra area, which must be well-formed even where nothing in it is
 * wanted: its length decides where the data begin. Sets e->behind. */
static fil_status check_local_sizes(const fili_zip *zip, fili_zip_entry *e, const unsigned char *p,
                                    const unsigned char *area)
{
    const uint32_t crc      = fili_le32(p + 14);
    uint64_t       packed   = fili_le32(p + 18);
    uint64_t       bytes    = fili_le32(p + 22);
    const bool     deferred = (e->flags & FLAG_DESCRIPTOR) != 0 && (crc | packed | bytes) == 0;
    widened        want     = {.field = {if_saturated(&bytes), if_saturated(&packed), NULL}};
    if (!take_zip64(area, fili_le16(p + 28), &want))
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT,
                        "zip: entry '%s' has a malformed extra area in its local header",
                        quote(e).text);
    if (!deferred && (crc != e->crc || packed != e->bytes || bytes != e->bytes))
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT,
                        "zip: entry '%s' has %llu bytes (CRC-32 %08x) in its local header, %llu "
                        "(%08x) in the directory",
                        quote(e).text, (unsigned long long)bytes, crc, (unsigned long long)e->bytes,
                        e->crc);
    if ((e->flags & FLAG_DESCRIPTOR) != 0)
        e->behind = want.found ? DESCRIPTOR64_BYTES : DESCRIPTOR_BYTES;
    return FIL_OK;
}

/* have: bytes of the file at p. Reads the extra area again where p does not hold all of it. */
static fil_status check_local_extra(const fili_zip *zip, fili_zip_entry *e, const unsigned char *p,
                                    size_t have)
{
    const size_t name  = LOCAL_BYTES + e->name_bytes;
    const size_t extra = fili_le16(p + 28);
    void        *area  = NULL;
    fil_status   status;
    if (extra <= have - name) return check_local_sizes(zip, e, p, p + name);
    FIL_TRY(fili_alloc(zip->ctx, extra, "zip local header", &area));
    FIL_TRY_OR(done, fili_file_read(zip->ctx, zip->file, e->header + name, area, extra));
    FIL_TRY_OR(done, check_local_sizes(zip, e, p, area));
done:
    fili_free(zip->ctx, area, extra);
    return status;
}

/* Everything of an entry, header to data, lies before the directory. Sets e->offset. */
static fil_status place_data(const fili_zip *zip, fili_zip_entry *e, size_t extra)
{
    uint64_t end;
    if (!fili_add_u64(e->header, LOCAL_BYTES + e->name_bytes + extra, &e->offset) ||
        !fili_add_u64(e->offset, e->bytes, &end) || end > zip->directory_offset)
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT,
                        "zip: entry '%s' at byte %llu with %llu bytes of data does not end before "
                        "the directory at %llu",
                        quote(e).text, (unsigned long long)e->header, (unsigned long long)e->bytes,
                        (unsigned long long)zip->directory_offset);
    return FIL_OK;
}

static fil_status read_local(const fili_zip *zip, fili_zip_entry *e)
{
    unsigned char p[LOCAL_BYTES + FILI_ZIP_NAME + LOCAL_EXTRA];
    FIL_TRY(place_data(zip, e, 0));
    const size_t   most = LOCAL_BYTES + e->name_bytes + LOCAL_EXTRA;
    const uint64_t left = zip->directory_offset - e->header;
    const size_t   n    = left < most ? (size_t)left : most;
    FIL_TRY(fili_file_read(zip->ctx, zip->file, e->header, p, n));
    if (fili_le32(p) != LOCAL_SIG)
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT, "zip: entry '%s' has no local header at byte %llu",
                        quote(e).text, (unsigned long long)e->header);
    const size_t extra = fili_le16(p + 28);
    if (fili_le16(p + 26) != e->name_bytes || memcmp(p + LOCAL_BYTES, e->name, e->name_bytes) != 0)
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT,
                        "zip: entry '%s' has another name in its local header", quote(e).text);
    if (fili_le16(p + 6) != e->flags || fili_le16(p + 8) != 0)
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT,
                        "zip: entry '%s' has flags 0x%04x and method %u in its local header, "
                        "0x%04x and 0 in the directory",
                        quote(e).text, fili_le16(p + 6), fili_le16(p + 8), e->flags);
    FIL_TRY(place_data(zip, e, extra));
    return check_local_extra(zip, e, p, n);
}

/* ---- all entries ---------------------------------------------------------------------------- */

static int by_position(const void *a, const void *b)
{
    const fili_zip_entry *x = a;
    const fili_zip_entry *y = b;
    return (x->header > y->header) - (x->header < y->header);
}

static int compare_names(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    const int c = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return c != 0 ? c : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int by_name(const void *a, const void *b)
{
    const fili_zip_entry *x = a;
    const fili_zip_entry *y = b;
    return compare_names(x->name, x->name_bytes, y->name, y->name_bytes);
}

/* Each entry begins where the one before ends, the first at 0, and the last ends at the directory.
 * So no byte belongs to two of them, none to no one, and a local header cannot shift its data. */
static fil_status check_tiling(const fili_zip *zip)
{
    uint64_t end = 0;
    if (zip->n_entries > 0) qsort(zip->entries, zip->n_entries, sizeof *zip->entries, by_position);
    for (size_t i = 0; i <= zip->n_entries; i++) {
        const bool            last = i == zip->n_entries;
        const fili_zip_entry *e    = last ? NULL : &zip->entries[i];
        const uint64_t        next = last ? zip->directory_offset : e->header;
        if (next != end)
            return FIL_FAIL(
                zip->ctx, FIL_E_FORMAT,
                "zip: entry '%s' begins at byte %llu, what is before it ends at %llu: %s",
                last ? "(directory)" : quote(e).text, (unsigned long long)next,
                (unsigned long long)end, next < end ? "they overlap" : "there is a hole");
        if (!last) end = e->offset + e->bytes + e->behind; /* place_data: does not wrap */
    }
    return FIL_OK;
}

static fil_status check_duplicates(const fili_zip *zip)
{
    if (zip->n_entries > 0) qsort(zip->entries, zip->n_entries, sizeof *zip->entries, by_name);
    for (size_t i = 1; i < zip->n_entries; i++)
        if (by_name(&zip->entries[i - 1], &zip->entries[i]) == 0)
            return FIL_FAIL(zip->ctx, FIL_E_FORMAT, "zip: entry '%s' is there twice",
                            quote(&zip->entries[i]).text);
    return FIL_OK;
}

static fil_status read_entries(fili_zip *zip)
{
    size_t at = 0;
    for (size_t i = 0; i < zip->n_entries; i++) {
        size_t used = 0;
        FIL_TRY(read_central(zip->ctx, zip->directory + at, zip->directory_bytes - at,
                             &zip->entries[i], &used));
        at += used;
    }
    if (at != zip->directory_bytes)
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT,
                        "zip: the directory has %zu bytes after its entries",
                        zip->directory_bytes - at);
    for (size_t i = 0; i < zip->n_entries; i++)
        FIL_TRY(read_local(zip, &zip->entries[i]));
    FIL_TRY(check_tiling(zip));
    return check_duplicates(zip);
}

fil_status fili_zip_open(fil_ctx *ctx, const fili_file *file, fili_zip *zip)
{
    extent     e = {0};
    fil_status status;
    void      *block;
    *zip = (fili_zip){.ctx = ctx, .file = file};
    FIL_TRY(find_directory(ctx, file, &e));
    zip->directory_bytes  = (size_t)e.bytes;
    zip->directory_offset = e.offset;
    FIL_TRY(fili_alloc(ctx, zip->directory_bytes, "zip directory", &block));
    zip->directory = block;
    FIL_TRY_OR(fail,
               fili_calloc(ctx, (size_t)e.entries, sizeof *zip->entries, "zip directory", &block));
    zip->entries   = block;
    zip->n_entries = (size_t)e.entries;
    FIL_TRY_OR(fail, fili_file_read(ctx, file, e.offset, zip->directory, zip->directory_bytes));
    FIL_TRY_OR(fail, read_entries(zip));
    return FIL_OK;
fail:
    fili_zip_fini(zip);
    return status;
}

void fili_zip_fini(fili_zip *zip)
{
    fili_free(zip->ctx, zip->entries, zip->n_entries * sizeof *zip->entries);
    fili_free(zip->ctx, zip->directory, zip->directory_bytes);
    zip->entries   = NULL;
    zip->directory = NULL;
    zip->n_entries = zip->directory_bytes = 0;
}

const fili_zip_entry *fili_zip_find(const fili_zip *zip, const char *name, size_t bytes)
{
    size_t lo = 0;
    size_t hi = zip->n_entries;
    while (lo < hi) {
        const size_t          mid = lo + (hi - lo) / 2;
        const fili_zip_entry *e   = &zip->entries[mid];
        const int             c   = compare_names(name, bytes, e->name, e->name_bytes);
        if (c == 0) return e;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

fil_status fili_zip_read(const fili_zip *zip, const fili_zip_entry *entry, void *dst)
{
    const size_t n = (size_t)entry->bytes;
    FIL_TRY(fili_file_read(zip->ctx, zip->file, entry->offset, dst, n));
    const uint32_t crc = fili_crc32(dst, n);
    if (crc != entry->crc)
        return FIL_FAIL(zip->ctx, FIL_E_FORMAT,
                        "zip: entry '%s' is damaged: its CRC-32 is %08x, the directory says %08x",
                        quote(entry).text, crc, entry->crc);
    return FIL_OK;
}
