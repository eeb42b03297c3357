/* io/pickle.h: reads the pickle of a PyTorch checkpoint as data. Nothing is ever executed.
 *
 * A pickle is a program for a small stack machine. This one knows the opcodes of protocol 2 to 5
 * that build plain data, and a closed list of globals: OrderedDict, the storage classes, and the
 * two functions that make a tensor from a storage. What those would do in Python is done here as
 * a record in a table; any other global or opcode ends the reading with a message that names it.
 * Source: the comments of Python's Lib/pickletools.py; torch.save of 1.6 to 2.x.
 *
 * Values form a graph that a file may make cyclic (a dict in itself): nothing here follows it, and
 * a user must not either, beyond a fixed depth. What lies in lists is checked and forgotten.
 */
#ifndef FILI_IO_PICKLE_H
#define FILI_IO_PICKLE_H

#include "base/arena.h"
#include "filigree/file.h"

typedef enum fili_pickle_kind {
    FILI_PICKLE_MARK = 0, /* of the machine: never in a value that a user sees */
    FILI_PICKLE_NONE,
    FILI_PICKLE_BOOL,
    FILI_PICKLE_INT,
    FILI_PICKLE_REAL,
    FILI_PICKLE_TEXT,
    FILI_PICKLE_BYTES,
    FILI_PICKLE_TUPLE,
    FILI_PICKLE_LIST,
    FILI_PICKLE_DICT, /* OrderedDict too */
    FILI_PICKLE_GLOBAL,
    FILI_PICKLE_STORAGE,
    FILI_PICKLE_TENSOR
} fili_pickle_kind;

typedef struct fili_pickle_pair    fili_pickle_pair;
typedef struct fili_pickle_dict    fili_pickle_dict;
typedef struct fili_pickle_storage fili_pickle_storage;
typedef struct fili_pickle_tensor  fili_pickle_tensor;

/* 16 bytes, copied freely. What it points to lies in the pickle's bytes or in its arena. */
typedef struct fili_pickle_value {
    uint32_t kind;   /* fili_pickle_kind */
    uint32_t length; /* TEXT, BYTES: bytes (no NUL at the end); TUPLE: items */
    union {
        int64_t                         integer; /* BOOL, INT; GLOBAL: row of the list */
        double                          real;
        const char                     *text; /* not checked to be UTF-8 */
        const struct fili_pickle_value *items;
        fili_pickle_dict               *dict;
        const fili_pickle_storage      *storage;
        const fili_pickle_tensor       *tensor;
    } u;
} fili_pickle_value;

struct fili_pickle_pair {
    fili_pickle_value key, value; /* any key; a key may come twice */
};

struct fili_pickle_dict {
    fili_pickle_pair *pairs; /* in the order of insertion */
    size_t            n_pairs, max_pairs;
    bool              ordered; /* made by OrderedDict: BUILD may follow */
};

struct fili_pickle_storage {
    fil_dtype   dtype;
    const char *key; /* names the entry data/KEY; not NUL-terminated */
    uint32_t    key_bytes;
    uint64_t    elements;
};

/* As written: only the kinds of the arguments, the rank, and offset >= 0 have been checked. */
struct fili_pickle_tensor {
    const fili_pickle_storage *storage;
    uint64_t                   offset; /* elements */
    uint32_t                   rank;
    int64_t                    shape[FIL_MAX_RANK];
    int64_t                    stride[FIL_MAX_RANK]; /* elements */
};

typedef struct fili_pickle {
    fili_arena        arena;
    fili_pickle_value root;
} fili_pickle;

/* data is borrowed as long as the pickle is used. The memory it may take is bounded by the limit
 * on tensors (2 KiB for each, and 1 MiB). E_FORMAT: malformed; E_UNSUP: a global, opcode or
 * argument outside the list; E_LIMIT; E_NOMEM. On failure nothing is held. */
FIL_MUSTCHECK fil_status fili_pickle_parse(fil_ctx *ctx, const void *data, size_t bytes,
                                           fili_pickle *pickle);

/* Idempotent. */
void fili_pickle_fini(fili_pickle *pickle);

/* "dict", "tensor", ...: for messages. Static storage. */
const char *fili_pickle_kind_name(uint32_t kind);

#endif
