/* tests/support/pth_make.h: writes ZIP archives, pickles and checkpoints as torch.save does, in C.
 *
 * Nothing here is checked: any nonsense can be written. Well-formed archives come with the position
 * of each record, so that a test breaks one field by putting other bytes there (buffer_set).
 */
#ifndef TESTS_SUPPORT_PTH_MAKE_H
#define TESTS_SUPPORT_PTH_MAKE_H

#include <stddef.h>
#include <stdint.h>

/* ---- bytes that grow ------------------------------------------------------------------------ */

/* {0} is empty. Exhausted memory ends the program. */
typedef struct buffer {
    unsigned char *data;
    size_t         bytes, max;
} buffer;

void buffer_free(buffer *b);
void buffer_put(buffer *b, const void *data, size_t bytes);
void buffer_text(buffer *b, const char *text);
void buffer_fill(buffer *b, int byte, size_t bytes);
/* Little-endian, `width` bytes: appended, or over what stands at `at`. */
void     buffer_number(buffer *b, unsigned width, uint64_t number);
void     buffer_set(buffer *b, size_t at, unsigned width, uint64_t number);
uint64_t buffer_get(const buffer *b, size_t at, unsigned width);

/* ---- ZIP ------------------------------------------------------------------------------------ */

#define ZIP_ITEMS 320

typedef struct zip_item {
    const char *name;
    const void *data; /* NULL: `bytes` bytes that are only reserved (sparse files) */
    uint64_t    bytes;
} zip_item;

enum {
    ZIP_TORCH = 0, /* data descriptors, data aligned to 64, a ZIP64 end record */
    ZIP_PLAIN = 1  /* CRC and sizes in the local header, no extra areas, no ZIP64 */
};

/* Positions of the records. locator and end64 are 0 where there are none. */
typedef struct zip_map {
    uint64_t local[ZIP_ITEMS], data[ZIP_ITEMS], central[ZIP_ITEMS];
    uint64_t directory, end64, locator, end;
} zip_map;

/* Fields of a local header, a central entry and the end records: offset from their position. */
enum {
    LOCAL_FLAGS         = 6,
    LOCAL_METHOD        = 8,
    LOCAL_CRC           = 14,
    LOCAL_PACKED        = 18,
    LOCAL_SIZE          = 22,
    LOCAL_NAME_BYTES    = 26,
    LOCAL_EXTRA_BYTES   = 28,
    LOCAL_NAME          = 30,
    CENTRAL_FLAGS       = 8,
    CENTRAL_METHOD      = 10,
    CENTRAL_CRC         = 16,
    CENTRAL_PACKED      = 20,
    CENTRAL_SIZE        = 24,
    CENTRAL_NAME_BYTES  = 28,
    CENTRAL_EXTRA_BYTES = 30,
    CENTRAL_NOTE_BYTES  = 32,
    CENTRAL_DISK        = 34,
    CENTRAL_LOCAL       = 42,
    CENTRAL_NAME        = 46,
    END_DISK            = 4,
    END_ENTRIES_HERE    = 8,
    END_ENTRIES         = 10,
    END_SIZE            = 12,
    END_OFFSET          = 16,
    END_COMMENT_BYTES   = 20,
    END64_RECORD_BYTES  = 4,
    END64_DISK          = 16,
    END64_ENTRIES_HERE  = 24,
    END64_ENTRIES       = 32,
    END64_SIZE          = 40,
    END64_OFFSET        = 48,
    LOCATOR_OFFSET      = 8,
    LOCATOR_DISKS       = 16
};

/* Appends a whole archive to an empty buffer. map may be NULL. */
void zip_make(buffer *b, int style, const zip_item *items, size_t n, zip_map *map);

/* Writes one to a file, leaving holes for items without data. */
void zip_make_sparse(const char *path, const zip_item *items, size_t n);

/* ---- pickle --------------------------------------------------------------------------------- */

/* One opcode and its argument each. */
void pickle_begin(buffer *b, int protocol);
void pickle_text(buffer *b, const char *text); /* BINUNICODE */
void pickle_int(buffer *b, int64_t number);    /* BININT1, BININT2, BININT or LONG1 */
void pickle_global(buffer *b, const char *module, const char *name);
void pickle_put(buffer *b, uint32_t slot);
void pickle_get(buffer *b, uint32_t slot);
void pickle_numbers(buffer *b, uint32_t n, const int64_t *numbers); /* a tuple */

typedef struct pth_tensor {
    const char *name;    /* NULL: only the tensor, no key */
    const char *storage; /* "FloatStorage" */
    const char *key;     /* of the storage */
    int64_t     elements, offset;
    uint32_t    rank;
    int64_t     shape[9], stride[9];
    int         parameter; /* wrapped in _rebuild_parameter */
} pth_tensor;

/* Key (if there is a name) and value, left on the stack. */
void pickle_tensor(buffer *b, const pth_tensor *t);

/* A whole pickle: a dict of the tensors, with memo entries as torch writes them. */
void pickle_tensors(buffer *b, const pth_tensor *tensors, size_t n);

#endif
