/* tests/support/malformed.h: malformed model files by the table: how each is made, the status it
 * must give and a part of the message that says why (the message class).
 *
 * The list is that of spec "reliability", section 6, as far as files alone can be wrong; what is
 * wrong only for a model (a missing layer, 0 heads) comes with the models. The same table makes the
 * seeds of the fuzz corpus.
 */
#ifndef TESTS_SUPPORT_MALFORMED_H
#define TESTS_SUPPORT_MALFORMED_H

#include "support/fault.h"

typedef struct blob {
    unsigned char *data; /* malloc */
    size_t         bytes;
    size_t         room; /* allocated; doubles, as a sanitizer's realloc always copies */
} blob;

void blob_append(blob *b, const void *data, size_t bytes);
void blob_fill(blob *b, int value, size_t bytes);
void blob_free(blob *b);
/* Length, header and `data` bytes 0x5a. */
blob blob_safetensors(const char *header, size_t header_bytes, uint64_t data);

/* One safetensors file. */
typedef struct malformed {
    const char *name;
    fil_status  status;
    const char *message;
    const char *text; /* the header, or with `raw` the whole file */
    size_t      text_bytes;
    uint64_t    data; /* bytes behind the header */
    int         raw;
    void (*build)(blob *b); /* instead of text */
} malformed;

extern const malformed malformed_files[];
extern const size_t    n_malformed_files;

blob malformed_blob(const malformed *c);

/* GGUF files: the i-th of n_malformed_ggufs; gives its name. The caller frees the blob. */
extern const size_t n_malformed_ggufs;
const char         *malformed_gguf(size_t i, blob *out, fil_status *status, const char **message);

/* A folder with a sharded model: a.safetensors holds tensor "a", b.safetensors tensor "b"; written
 * first, then `arrange` spoils it. */
typedef struct malformed_model {
    const char *name;
    fil_status  status;
    const char *message;
    const char *index; /* NULL: the right one */
    size_t      index_bytes;
    void (*arrange)(const scratch *s);
} malformed_model;

#define GOOD_INDEX                                                                                 \
    "{\"metadata\":{\"total_size\":8},"                                                            \
    "\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}"
#define INDEX_NAME "model.safetensors.index.json"

extern const malformed_model malformed_models[];
extern const size_t          n_malformed_models;

void malformed_folder(const scratch *s, const malformed_model *c);

/* Tensor "name": F32 of 4 elements in `file`. */
void write_shard(const scratch *s, const char *file, const char *tensor);

#endif
