/* io/gguf_inside.h: what the files of the GGUF reader and writer share: the header's bytes, read as
 * far as they are needed, the key-value pairs, and numbers of types. For gguf*.c alone.
 */
#ifndef FILI_IO_GGUF_INSIDE_H
#define FILI_IO_GGUF_INSIDE_H

#include <stdbool.h>

#include "io/tensors.h"

/* ggml's number of a type; false if the format, as far as it is read here, has none. */
bool fili_gguf_type_of(fil_dtype dtype, uint32_t *number);

/* ---- the header's bytes --------------------------------------------------------------------- */

/* The first `filled` bytes of the file, in memory. The format does not say how long its header is,
 * so it is read in growing pieces. What was read once is not read again. */
typedef struct fili_gguf_header {
    fil_ctx         *ctx;
    const fili_file *file;
    unsigned char   *data;
    size_t           filled, max;
    uint64_t         at; /* of the next byte to be taken; <= filled */
} fili_gguf_header;

/* Text in the header; `at` stays right when the memory moves. */
typedef struct fili_gguf_text {
    uint64_t at;
    uint64_t bytes;
} fili_gguf_text;

/* Takes `bytes` bytes: *at = the first of them, which lies in data. `what` is named in messages.
 * E_FORMAT: the file ends before; E_LIMIT: the header is longer than the context's limit; E_IO;
 * E_NOMEM. */
FIL_MUSTCHECK fil_status fili_gguf_take(fili_gguf_header *h, uint64_t bytes, const char *what,
                                        uint64_t *at);
FIL_MUSTCHECK fil_status fili_gguf_u32(fili_gguf_header *h, const char *what, uint32_t *out);
FIL_MUSTCHECK fil_status fili_gguf_u64(fili_gguf_header *h, const char *what, uint64_t *out);
FIL_MUSTCHECK fil_status fili_gguf_string(fili_gguf_header *h, const char *what,
                                          fili_gguf_text *out);

/* Bytes of the file that have not been taken. */
static inline uint64_t fili_gguf_left(const fili_gguf_header *h)
{
    return h->file->size - h->at;
}

static inline const char *fili_gguf_chars(const fili_gguf_header *h, const fili_gguf_text *text)
{
    return (const char *)h->data + text->at;
}

static inline fili_quoted fili_gguf_quote(const fili_gguf_header *h, const fili_gguf_text *text)
{
    return fili_quote(fili_gguf_chars(h, text), (size_t)text->bytes);
}

/* ---- key-value pairs ------------------------------------------------------------------------ */

/* Types of values, by their number in the file. */
typedef enum fili_gguf_type {
    FILI_GGUF_U8,
    FILI_GGUF_I8,
    FILI_GGUF_U16,
    FILI_GGUF_I16,
    FILI_GGUF_U32,
    FILI_GGUF_I32,
    FILI_GGUF_F32,
    FILI_GGUF_BOOL,
    FILI_GGUF_STRING,
    FILI_GGUF_ARRAY,
    FILI_GGUF_U64,
    FILI_GGUF_I64,
    FILI_GGUF_F64,
    FILI_GGUF_TYPES
} fili_gguf_type;

typedef struct fili_gguf_pair {
    fili_gguf_text key;
    const char    *chars; /* of the key, once the pairs are sorted */
    uint32_t       type;
    uint32_t       item;  /* type of the elements of an array */
    uint64_t       count; /* of elements; 1 for what is no array */
    fili_gguf_text value; /* its bytes; of a string the characters, of an array the elements */
} fili_gguf_pair;

typedef struct fili_gguf_pairs {
    fili_gguf_pair *pair; /* [n] */
    size_t          n;
} fili_gguf_pairs;

/* Takes n pairs. E_FORMAT: a key that is no text, an unknown type, a bool that is none; E_LIMIT;
 * E_UNSUP: an array of arrays; E_IO; E_NOMEM. fili_gguf_pairs_fini is safe after any failure. */
FIL_MUSTCHECK fil_status fili_gguf_pairs_take(fili_gguf_header *h, uint64_t n,
                                              fili_gguf_pairs *out);
void                     fili_gguf_pairs_fini(fil_ctx *ctx, fili_gguf_pairs *pairs);

/* When the whole header has been taken: gives the pairs to the set as text, in the file's order,
 * and sorts them by key. E_FORMAT: two keys alike, a string that is no text; E_LIMIT; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_gguf_pairs_settle(const fili_gguf_header *h, fili_tensors *set,
                                                fili_gguf_pairs *pairs);

/* Of sorted pairs the one whose key is `prefix` followed by the `bytes` bytes at `name`, or NULL.
 */
const fili_gguf_pair *fili_gguf_find(const fili_gguf_pairs *pairs, const char *prefix,
                                     const char *name, size_t bytes);

/* Element i of an array of whole numbers, or the number itself (i = 0). false: it is none, or does
 * not fit. */
bool fili_gguf_integer(const fili_gguf_header *h, const fili_gguf_pair *pair, uint64_t i,
                       int64_t *out);

#endif
