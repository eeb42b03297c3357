/* tests/support/gguf_make.h: writes GGUF files, well-formed ones and any nonsense.
 *
 * A file is described field by field; what is left zero is as it should be. Nothing is checked.
 */
#ifndef TESTS_SUPPORT_GGUF_MAKE_H
#define TESTS_SUPPORT_GGUF_MAKE_H

#include "support/pth_make.h"

/* Numbers of types in the file. */
enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
};
enum { GGML_F32 = 0, GGML_F16 = 1, GGML_Q4_0 = 2, GGML_Q8_0 = 8, GGML_Q4_K = 12, GGML_BF16 = 30 };

/* The value as it stands in the file, behind the type. */
typedef struct gguf_pair {
    const char *key;
    uint32_t    type;
    const char *value;
    size_t      value_bytes;
    uint64_t    key_bytes; /* 0: strlen(key) */
} gguf_pair;

#define GGUF_VALUE(literal) (literal), sizeof(literal) - 1

typedef struct gguf_info {
    const char *name;
    uint32_t    type;
    uint32_t    rank;
    uint64_t    dims[9]; /* as stored: the fastest first */
    uint64_t    offset;
    const void *data;       /* put at offset; NULL: nothing */
    uint64_t    bytes;      /* of data */
    uint64_t    name_bytes; /* written as its length; 0: strlen(name) */
} gguf_info;

typedef struct gguf_file {
    const gguf_pair *pair;
    size_t           n_pairs;
    const gguf_info *info;
    size_t           n_infos;
    uint64_t         data;      /* bytes of the data area, 0x5a where no tensor has data */
    uint64_t         alignment; /* of the data area; 0: 32 */
    uint32_t         version;   /* 0: 3 */
    uint64_t         says_tensors, says_pairs; /* 0: as many as there are */
} gguf_file;

/* Appends the file to an empty buffer; gives the position of the data area. */
uint64_t gguf_make(buffer *b, const gguf_file *f);

/* Gives n infos offsets one behind the other, aligned to 32; gives the size of the data area, the
 * padding at its end included. */
uint64_t gguf_lay_out(gguf_info *info, size_t n);

#endif
