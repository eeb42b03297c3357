/* tests/support/pth_make.c: archives and pickles, byte by byte (pth_make.h). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/zip.h"
#include "support/pth_make.h"

#define NARROW 0xffffffffu

/* ---- bytes that grow ------------------------------------------------------------------------ */

void blob_free(blob *b)
{
    free(b->data);
    *b = (blob){0};
}

static void die(const char *what)
{
    fprintf(stderr, "pth_make: %s\n", what);
    abort();
}

void blob_put(blob *b, const void *data, size_t bytes)
{
    if (b->bytes + bytes > b->max) {
        b->max  = 2 * (b->bytes + bytes) + 256;
        b->data = realloc(b->data, b->max);
        if (b->data == NULL) die("out of memory");
    }
    if (bytes > 0) memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
}

void blob_text(blob *b, const char *text)
{
    blob_put(b, text, strlen(text));
}

void blob_fill(blob *b, int byte, size_t bytes)
{
    const unsigned char c = (unsigned char)byte;
    for (size_t i = 0; i < bytes; i++)
        blob_put(b, &c, 1);
}

void blob_number(blob *b, unsigned width, uint64_t number)
{
    blob_fill(b, 0, width);
    blob_set(b, b->bytes - width, width, number);
}

void blob_set(blob *b, size_t at, unsigned width, uint64_t number)
{
    if (at + width > b->bytes) die("a field beyond the end");
    for (unsigned i = 0; i < width; i++)
        b->data[at + i] = (unsigned char)(number >> 8 * i);
}

uint64_t blob_get(const blob *b, size_t at, unsigned width)
{
    uint64_t number = 0;
    for (unsigned i = width; i > 0; i--)
        number = number << 8 | b->data[at + i - 1];
    return number;
}

/* ---- ZIP ------------------------------------------------------------------------------------ */

static uint32_t item_crc(const zip_item *item)
{
    return item->data != NULL ? fili_crc32(item->data, (size_t)item->bytes) : 0;
}

static uint64_t narrow(uint64_t number)
{
    return number >= NARROW ? NARROW : number;
}

/* ZIP64 extra area with the fields that do not fit 32 bits, in the order of the format. */
static void put_zip64(blob *b, uint64_t bytes, uint64_t local)
{
    const unsigned n = (bytes >= NARROW ? 16u : 0u) + (local >= NARROW ? 8u : 0u);
    if (n == 0) return;
    blob_number(b, 2, 1);
    blob_number(b, 2, n);
    if (bytes >= NARROW) blob_number(b, 8, bytes);
    if (bytes >= NARROW) blob_number(b, 8, bytes);
    if (local >= NARROW) blob_number(b, 8, local);
}

/* Header up to the data. at: its position in the file. */
static void put_local(blob *b, int style, const zip_item *item, uint64_t at)
{
    const int      torch        = style == ZIP_TORCH;
    const size_t   name         = strlen(item->name);
    const size_t   begin        = b->bytes;
    const uint64_t narrow_bytes = torch ? 0 : item->bytes;
    blob_text(b, "PK\3\4");
    blob_number(b, 2, torch ? 0 : 20);
    blob_number(b, 2, torch ? 0x0808 : 0);
    blob_number(b, 2, 0); /* method */
    blob_number(b, 4, 0); /* time, date */
    blob_number(b, 4, torch ? 0 : item_crc(item));
    blob_number(b, 4, narrow_bytes);
    blob_number(b, 4, narrow_bytes);
    blob_number(b, 2, name);
    blob_number(b, 2, 0);
    blob_text(b, item->name);
    const size_t extra = b->bytes;
    if (torch) {
        put_zip64(b, item->bytes, at);
        const uint64_t data = at + (b->bytes - begin) + 4;
        const size_t   pad  = (size_t)((64 - data % 64) % 64);
        blob_text(b, "FB");
        blob_number(b, 2, pad);
        blob_fill(b, 'Z', pad);
    }
    blob_set(b, begin + LOCAL_EXTRA_BYTES, 2, b->bytes - extra);
}

static void put_descriptor(blob *b, const zip_item *item, uint64_t at)
{
    const unsigned width = item->bytes >= NARROW || at >= NARROW ? 8 : 4;
    blob_text(b, "PK\7\10");
    blob_number(b, 4, item_crc(item));
    blob_number(b, width, item->bytes);
    blob_number(b, width, item->bytes);
}

static void put_central(blob *b, int style, const zip_item *item, uint64_t local)
{
    const size_t begin = b->bytes;
    blob_text(b, "PK\1\2");
    blob_number(b, 4, 0); /* versions */
    blob_number(b, 2, style == ZIP_TORCH ? 0x0808 : 0);
    blob_number(b, 2, 0);
    blob_number(b, 4, 0);
    blob_number(b, 4, item_crc(item));
    blob_number(b, 4, narrow(item->bytes));
    blob_number(b, 4, narrow(item->bytes));
    blob_number(b, 2, strlen(item->name));
    blob_fill(b, 0, 12); /* extra, comment, disk, attributes */
    blob_number(b, 4, narrow(local));
    blob_text(b, item->name);
    const size_t extra = b->bytes;
    put_zip64(b, item->bytes, local);
    blob_set(b, begin + CENTRAL_EXTRA_BYTES, 2, b->bytes - extra);
}

/* The end records of a directory of n entries; `at`: position of the first byte written. */
static void put_end(blob *b, int style, size_t n, uint64_t directory, uint64_t at, zip_map *map)
{
    const size_t begin = b->bytes;
    if (style == ZIP_TORCH) {
        map->end64 = at;
        blob_text(b, "PK\6\6");
        blob_number(b, 8, 44);
        blob_number(b, 4, 0); /* versions */
        blob_number(b, 8, 0); /* disks */
        blob_number(b, 8, n);
        blob_number(b, 8, n);
        blob_number(b, 8, at - directory);
        blob_number(b, 8, directory);
        map->locator = at + (b->bytes - begin);
        blob_text(b, "PK\6\7");
        blob_number(b, 4, 0);
        blob_number(b, 8, at);
        blob_number(b, 4, 1);
    }
    map->end = at + (b->bytes - begin);
    blob_text(b, "PK\5\6");
    blob_number(b, 4, 0);
    blob_number(b, 2, n);
    blob_number(b, 2, n);
    blob_number(b, 4, narrow(at - directory));
    blob_number(b, 4, narrow(directory));
    blob_number(b, 2, 0);
}

void zip_make(blob *b, int style, const zip_item *items, size_t n, zip_map *map)
{
    zip_map *m = map != NULL ? map : malloc(sizeof *m);
    if (m == NULL || n > ZIP_ITEMS) die("too many items");
    *m = (zip_map){0};
    for (size_t i = 0; i < n; i++) {
        m->local[i] = b->bytes;
        put_local(b, style, &items[i], b->bytes);
        m->data[i] = b->bytes;
        blob_put(b, items[i].data, (size_t)items[i].bytes);
        if (style == ZIP_TORCH) put_descriptor(b, &items[i], m->local[i]);
    }
    m->directory = b->bytes;
    for (size_t i = 0; i < n; i++) {
        m->central[i] = b->bytes;
        put_central(b, style, &items[i], m->local[i]);
    }
    put_end(b, style, n, m->directory, b->bytes, m);
    if (map == NULL) free(m);
}

/* Writes the blob at *at and empties it. */
static void flush(int fd, blob *b, uint64_t *at)
{
    if (pwrite(fd, b->data, b->bytes, (off_t)*at) != (ssize_t)b->bytes) die("cannot write");
    *at += b->bytes;
    b->bytes = 0;
}

void zip_make_sparse(const char *path, const zip_item *items, size_t n)
{
    zip_map  *m  = calloc(1, sizeof *m);
    blob      b  = {0};
    uint64_t  at = 0;
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || m == NULL || n > ZIP_ITEMS) die("cannot create the file");
    for (size_t i = 0; i < n; i++) {
        m->local[i] = at;
        put_local(&b, ZIP_TORCH, &items[i], at);
        flush(fd, &b, &at);
        if (items[i].data != NULL) {
            blob_put(&b, items[i].data, (size_t)items[i].bytes);
            flush(fd, &b, &at);
        } else {
            at += items[i].bytes; /* a hole */
        }
        put_descriptor(&b, &items[i], m->local[i]);
        flush(fd, &b, &at);
    }
    m->directory = at;
    for (size_t i = 0; i < n; i++)
        put_central(&b, ZIP_TORCH, &items[i], m->local[i]);
    flush(fd, &b, &at);
    put_end(&b, ZIP_TORCH, n, m->directory, at, m);
    flush(fd, &b, &at);
    if (close(fd) != 0) die("cannot close");
    blob_free(&b);
    free(m);
}

/* ---- pickle --------------------------------------------------------------------------------- */

void pickle_begin(blob *b, int protocol)
{
    blob_number(b, 1, 0x80);
    blob_number(b, 1, (unsigned)protocol);
}

void pickle_text(blob *b, const char *text)
{
    blob_text(b, "X");
    blob_number(b, 4, strlen(text));
    blob_text(b, text);
}

void pickle_int(blob *b, int64_t number)
{
    if (number >= 0 && number < 256) {
        blob_text(b, "K");
        blob_number(b, 1, (uint64_t)number);
    } else if (number >= 0 && number < 65536) {
        blob_text(b, "M");
        blob_number(b, 2, (uint64_t)number);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        blob_text(b, "J");
        blob_number(b, 4, (uint64_t)number);
    } else {
        blob_text(b, "\x8a\x08");
        blob_number(b, 8, (uint64_t)number);
    }
}

void pickle_global(blob *b, const char *module, const char *name)
{
    blob_text(b, "c");
    blob_text(b, module);
    blob_text(b, "\n");
    blob_text(b, name);
    blob_text(b, "\n");
}

void pickle_put(blob *b, uint32_t slot)
{
    blob_text(b, slot < 256 ? "q" : "r");
    blob_number(b, slot < 256 ? 1 : 4, slot);
}

void pickle_get(blob *b, uint32_t slot)
{
    blob_text(b, slot < 256 ? "h" : "j");
    blob_number(b, slot < 256 ? 1 : 4, slot);
}

void pickle_numbers(blob *b, uint32_t n, const int64_t *numbers)
{
    static const char *const small[] = {")", "\x85", "\x86", "\x87"};
    if (n > 3) blob_text(b, "(");
    for (uint32_t i = 0; i < n; i++)
        pickle_int(b, numbers[i]);
    blob_text(b, n > 3 ? "t" : small[n]);
}

void pickle_tensor(blob *b, const pth_tensor *t)
{
    if (t->name != NULL) pickle_text(b, t->name);
    if (t->parameter) {
        pickle_global(b, "torch._utils", "_rebuild_parameter");
        blob_text(b, "(");
    }
    pickle_global(b, "torch._utils", "_rebuild_tensor_v2");
    blob_text(b, "((");
    pickle_text(b, "storage");
    pickle_global(b, "torch", t->storage);
    pickle_text(b, t->key);
    pickle_text(b, "cpu");
    pickle_int(b, t->elements);
    blob_text(b, "tQ");
    pickle_int(b, t->offset);
    pickle_numbers(b, t->rank, t->shape);
    pickle_numbers(b, t->rank, t->stride);
    blob_text(b, "\x89"); /* requires_grad */
    pickle_global(b, "collections", "OrderedDict");
    blob_text(b, ")RtR");
    if (!t->parameter) return;
    blob_text(b, "\x88");
    pickle_global(b, "collections", "OrderedDict");
    blob_text(b, ")RtR");
}

void pickle_tensors(blob *b, const pth_tensor *tensors, size_t n)
{
    uint32_t slot = 0;
    pickle_begin(b, 2);
    blob_text(b, "}");
    pickle_put(b, slot++);
    blob_text(b, "(");
    for (size_t i = 0; i < n; i++) {
        pth_tensor t = tensors[i];
        t.name       = NULL;
        pickle_text(b, tensors[i].name);
        pickle_put(b, slot++);
        pickle_tensor(b, &t);
        pickle_put(b, slot++);
    }
    blob_text(b, "u.");
}
