/* tests/support/pth_make.c: archives and pickles, byte by byte (pth_make.h). */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/zip.h"
#include "support/pth_make.h"

#define NARROW 0xffffffffu

/* ---- bytes that grow ------------------------------------------------------------------------ */

void buffer_free(buffer *b)
{
    free(b->data);
    *b = (buffer){0};
}

static void die(const char *what)
{
    fprintf(stderr, "pth_make: %s\n", what);
    abort();
}

void buffer_put(buffer *b, const void *data, size_t bytes)
{
    if (b->bytes + bytes > b->max) {
        b->max  = 2 * (b->bytes + bytes) + 256;
        b->data = realloc(b->data, b->max);
        if (b->data == NULL) die("out of memory");
    }
    if (bytes > 0) memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
}

void buffer_text(buffer *b, const char *text)
{
    buffer_put(b, text, strlen(text));
}

void buffer_fill(buffer *b, int byte, size_t bytes)
{
    const unsigned char c = (unsigned char)byte;
    for (size_t i = 0; i < bytes; i++)
        buffer_put(b, &c, 1);
}

void buffer_number(buffer *b, unsigned width, uint64_t number)
{
    buffer_fill(b, 0, width);
    buffer_set(b, b->bytes - width, width, number);
}

void buffer_set(buffer *b, size_t at, unsigned width, uint64_t number)
{
    if (at + width > b->bytes) die("a field beyond the end");
    for (unsigned i = 0; i < width; i++)
        b->data[at + i] = (unsigned char)(number >> 8 * i);
}

uint64_t buffer_get(const buffer *b, size_t at, unsigned width)
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
static void put_zip64(buffer *b, uint64_t bytes, uint64_t local)
{
    const unsigned n = (bytes >= NARROW ? 16u : 0u) + (local >= NARROW ? 8u : 0u);
    if (n == 0) return;
    buffer_number(b, 2, 1);
    buffer_number(b, 2, n);
    if (bytes >= NARROW) buffer_number(b, 8, bytes);
    if (bytes >= NARROW) buffer_number(b, 8, bytes);
    if (local >= NARROW) buffer_number(b, 8, local);
}

/* Header up to the data. at: its position in the file. */
static void put_local(buffer *b, int style, const zip_item *item, uint64_t at)
{
    const int      torch        = style == ZIP_TORCH;
    const size_t   name         = strlen(item->name);
    const size_t   begin        = b->bytes;
    const uint64_t narrow_bytes = torch ? 0 : item->bytes;
    buffer_text(b, "PK\3\4");
    buffer_number(b, 2, torch ? 0 : 20);
    buffer_number(b, 2, torch ? 0x0808 : 0);
    buffer_number(b, 2, 0); /* method */
    buffer_number(b, 4, 0); /* time, date */
    buffer_number(b, 4, torch ? 0 : item_crc(item));
    buffer_number(b, 4, narrow_bytes);
    buffer_number(b, 4, narrow_bytes);
    buffer_number(b, 2, name);
    buffer_number(b, 2, 0);
    buffer_text(b, item->name);
    const size_t extra = b->bytes;
    if (torch) {
        put_zip64(b, item->bytes, at);
        const uint64_t data = at + (b->bytes - begin) + 4;
        const size_t   pad  = (size_t)((64 - data % 64) % 64);
        buffer_text(b, "FB");
        buffer_number(b, 2, pad);
        buffer_fill(b, 'Z', pad);
    }
    buffer_set(b, begin + LOCAL_EXTRA_BYTES, 2, b->bytes - extra);
}

static void put_descriptor(buffer *b, const zip_item *item, uint64_t at)
{
    const unsigned width = item->bytes >= NARROW || at >= NARROW ? 8 : 4;
    buffer_text(b, "PK\7\10");
    buffer_number(b, 4, item_crc(item));
    buffer_number(b, width, item->bytes);
    buffer_number(b, width, item->bytes);
}

static void put_central(buffer *b, int style, const zip_item *item, uint64_t local)
{
    const size_t begin = b->bytes;
    buffer_text(b, "PK\1\2");
    buffer_number(b, 4, 0); /* versions */
    buffer_number(b, 2, style == ZIP_TORCH ? 0x0808 : 0);
    buffer_number(b, 2, 0);
    buffer_number(b, 4, 0);
    buffer_number(b, 4, item_crc(item));
    buffer_number(b, 4, narrow(item->bytes));
    buffer_number(b, 4, narrow(item->bytes));
    buffer_number(b, 2, strlen(item->name));
    buffer_fill(b, 0, 12); /* extra, comment, disk, attributes */
    buffer_number(b, 4, narrow(local));
    buffer_text(b, item->name);
    const size_t extra = b->bytes;
    put_zip64(b, item->bytes, local);
    buffer_set(b, begin + CENTRAL_EXTRA_BYTES, 2, b->bytes - extra);
}

/* The end records of a directory of n entries; `at`: position of the first byte written. */
static void put_end(buffer *b, int style, size_t n, uint64_t directory, uint64_t at, zip_map *map)
{
    const size_t begin = b->bytes;
    if (style == ZIP_TORCH) {
        map->end64 = at;
        buffer_text(b, "PK\6\6");
        buffer_number(b, 8, 44);
        buffer_number(b, 4, 0); /* versions */
        buffer_number(b, 8, 0); /* disks */
        buffer_number(b, 8, n);
        buffer_number(b, 8, n);
        buffer_number(b, 8, at - directory);
        buffer_number(b, 8, directory);
        map->locator = at + (b->bytes - begin);
        buffer_text(b, "PK\6\7");
        buffer_number(b, 4, 0);
        buffer_number(b, 8, at);
        buffer_number(b, 4, 1);
    }
    map->end = at + (b->bytes - begin);
    buffer_text(b, "PK\5\6");
    buffer_number(b, 4, 0);
    buffer_number(b, 2, n);
    buffer_number(b, 2, n);
    buffer_number(b, 4, narrow(at - directory));
    buffer_number(b, 4, narrow(directory));
    buffer_number(b, 2, 0);
}

void zip_make(buffer *b, int style, const zip_item *items, size_t n, zip_map *map)
{
    zip_map *m = map != NULL ? map : malloc(sizeof *m);
    if (m == NULL || n > ZIP_ITEMS) die("too many items");
    *m = (zip_map){0};
    for (size_t i = 0; i < n; i++) {
        m->local[i] = b->bytes;
        put_local(b, style, &items[i], b->bytes);
        m->data[i] = b->bytes;
        buffer_put(b, items[i].data, (size_t)items[i].bytes);
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

/* Writes the buffer at *at and empties it. */
static void flush(int fd, buffer *b, uint64_t *at)
{
    if (pwrite(fd, b->data, b->bytes, (off_t)*at) != (ssize_t)b->bytes) die("cannot write");
    *at += b->bytes;
    b->bytes = 0;
}

void zip_make_sparse(const char *path, const zip_item *items, size_t n)
{
    zip_map  *m  = calloc(1, sizeof *m);
    buffer    b  = {0};
    uint64_t  at = 0;
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || m == NULL || n > ZIP_ITEMS) die("cannot create the file");
    for (size_t i = 0; i < n; i++) {
        m->local[i] = at;
        put_local(&b, ZIP_TORCH, &items[i], at);
        flush(fd, &b, &at);
        if (items[i].data != NULL) {
            buffer_put(&b, items[i].data, (size_t)items[i].bytes);
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
    buffer_free(&b);
    free(m);
}

/* ---- pickle --------------------------------------------------------------------------------- */

void pickle_begin(buffer *b, int protocol)
{
    buffer_number(b, 1, 0x80);
    buffer_number(b, 1, (unsigned)protocol);
}

void pickle_text(buffer *b, const char *text)
{
    buffer_text(b, "X");
    buffer_number(b, 4, strlen(text));
    buffer_text(b, text);
}

void pickle_int(buffer *b, int64_t number)
{
    if (number >= 0 && number < 256) {
        buffer_text(b, "K");
        buffer_number(b, 1, (uint64_t)number);
    } else if (number >= 0 && number < 65536) {
        buffer_text(b, "M");
        buffer_number(b, 2, (uint64_t)number);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
        buffer_text(b, "J");
        buffer_number(b, 4, (uint64_t)number);
    } else {
        buffer_text(b, "\x8a\x08");
        buffer_number(b, 8, (uint64_t)number);
    }
}

void pickle_global(buffer *b, const char *module, const char *name)
{
    buffer_text(b, "c");
    buffer_text(b, module);
    buffer_text(b, "\n");
    buffer_text(b, name);
    buffer_text(b, "\n");
}

void pickle_put(buffer *b, uint32_t slot)
{
    buffer_text(b, slot < 256 ? "q" : "r");
    buffer_number(b, slot < 256 ? 1 : 4, slot);
}

void pickle_get(buffer *b, uint32_t slot)
{
    buffer_text(b, slot < 256 ? "h" : "j");
    buffer_number(b, slot < 256 ? 1 : 4, slot);
}

void pickle_numbers(buffer *b, uint32_t n, const int64_t *numbers)
{
    static const char *const small[] = {")", "\x85", "\x86", "\x87"};
    if (n > 3) buffer_text(b, "(");
    for (uint32_t i = 0; i < n; i++)
        pickle_int(b, numbers[i]);
    buffer_text(b, n > 3 ? "t" : small[n]);
}

void pickle_tensor(buffer *b, const pth_tensor *t)
{
    if (t->name != NULL) pickle_text(b, t->name);
    if (t->parameter) {
        pickle_global(b, "torch._utils", "_rebuild_parameter");
        buffer_text(b, "(");
    }
    pickle_global(b, "torch._utils", "_rebuild_tensor_v2");
    buffer_text(b, "((");
    pickle_text(b, "storage");
    pickle_global(b, "torch", t->storage);
    pickle_text(b, t->key);
    pickle_text(b, "cpu");
    pickle_int(b, t->elements);
    buffer_text(b, "tQ");
    pickle_int(b, t->offset);
    pickle_numbers(b, t->rank, t->shape);
    pickle_numbers(b, t->rank, t->stride);
    buffer_text(b, "\x89"); /* requires_grad */
    pickle_global(b, "collections", "OrderedDict");
    buffer_text(b, ")RtR");
    if (!t->parameter) return;
    buffer_text(b, "\x88");
    pickle_global(b, "collections", "OrderedDict");
    buffer_text(b, ")RtR");
}

void pickle_tensors(buffer *b, const pth_tensor *tensors, size_t n)
{
    uint32_t slot = 0;
    pickle_begin(b, 2);
    buffer_text(b, "}");
    pickle_put(b, slot++);
    buffer_text(b, "(");
    for (size_t i = 0; i < n; i++) {
        pth_tensor t = tensors[i];
        t.name       = NULL;
        pickle_text(b, tensors[i].name);
        pickle_put(b, slot++);
        pickle_tensor(b, &t);
        pickle_put(b, slot++);
    }
    buffer_text(b, "u.");
}
