/* tests/support/malformed_gguf.c: malformed GGUF files by the kinds of specification "reliability",
 * section 2.2 (malformed.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/gguf_make.h"
#include "support/malformed.h"

#define TWO32 (UINT64_C(1) << 32)
#define TWO58 (UINT64_C(1) << 58)
#define TWO62 (UINT64_C(1) << 62)
#define TWO63 (UINT64_C(1) << 63)
#define MAX64 UINT64_MAX

#define LIST(type, ...)                                                                            \
    (const type[]){__VA_ARGS__}, sizeof((const type[]){__VA_ARGS__}) / sizeof(type)
#define PAIRS(...) .pair = LIST(gguf_pair, __VA_ARGS__)
#define INFOS(...) .info = LIST(gguf_info, __VA_ARGS__)

/* A vector of four F32 named "a", all that a good file needs. */
#define GOOD                                                                                       \
    {                                                                                              \
        .name = "a", .rank = 1, .dims = { 4 }                                                      \
    }
#define F32(...)                                                                                   \
    {                                                                                              \
        .name = "a", .rank = 1, __VA_ARGS__                                                        \
    }
#define P(key, type, literal)                                                                      \
    {                                                                                              \
        (key), (type), GGUF_VALUE(literal), 0                                                      \
    }
#define U32(key, literal) P(key, GGUF_U32, literal)
#define SHAPE(literal)    P("comfy.gguf.orig_shape.a", GGUF_ARRAY, literal)

#define ONE_U64           "\1\0\0\0\0\0\0\0"
#define TWO_U64           "\2\0\0\0\0\0\0\0"
#define ALL_U64           "\xff\xff\xff\xff\xff\xff\xff\xff"
#define HALF_U64          "\0\0\0\0\0\0\0\x80"
#define ALIGNMENT         "general.alignment"

/* ---- files that no literal can hold --------------------------------------------------------- */

static void build_many_pairs(buffer *b)
{
    enum { n = 4097 };
    static gguf_pair pair[n];
    static char      key[n][12];
    for (int i = 0; i < n; i++) {
        snprintf(key[i], sizeof key[i], "%d", i);
        pair[i] = (gguf_pair)P(key[i], GGUF_U8, "\1");
    }
    const gguf_file f = {.pair = pair, .n_pairs = n};
    gguf_make(b, &f);
}

static void build_many_tensors(buffer *b)
{
    enum { n = 65537 };
    static gguf_info info[n];
    static char      name[n][12];
    for (int i = 0; i < n; i++) {
        snprintf(name[i], sizeof name[i], "%d", i);
        info[i] = (gguf_info){.name = name[i], .rank = 1};
    }
    const gguf_file f = {.info = info, .n_infos = n};
    gguf_make(b, &f);
}

/* One string pair of `bytes` bytes. */
static void build_string(buffer *b, const char *key, size_t bytes)
{
    char *value = malloc(8 + bytes);
    if (value == NULL) abort();
    memset(value + 8, 'v', bytes);
    for (int i = 0; i < 8; i++)
        value[i] = (char)(bytes >> 8 * i);
    const gguf_pair pair = {
        .key = key, .type = GGUF_STRING, .value = value, .value_bytes = 8 + bytes};
    const gguf_file f = {.pair = &pair, .n_pairs = 1};
    gguf_make(b, &f);
    free(value);
}

static void build_much_metadata(buffer *b)
{
    build_string(b, "general.description", 1 << 20);
}

static void build_long_key(buffer *b)
{
    static char key[65537];
    memset(key, 'k', sizeof key - 1);
    build_string(b, key, 1);
}

static void build_long_name(buffer *b)
{
    static char name[514];
    memset(name, 'n', sizeof name - 1);
    const gguf_info info = {.name = name, .rank = 1, .dims = {4}};
    const gguf_file f    = {.info = &info, .n_infos = 1, .data = 32};
    gguf_make(b, &f);
}

/* ---- the table ------------------------------------------------------------------------------ */

#define FORMAT(name, message, ...)                                                                 \
    {                                                                                              \
        name, FIL_E_FORMAT, message, NULL,                                                         \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define LIMIT(name, message, ...)                                                                  \
    {                                                                                              \
        name, FIL_E_LIMIT, message, NULL,                                                          \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define UNSUP(name, message, ...)                                                                  \
    {                                                                                              \
        name, FIL_E_UNSUP, message, NULL,                                                          \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define BUILD(name, status, message, function)                                                     \
    {                                                                                              \
        name, FIL_##status, message, function,                                                     \
        {                                                                                          \
            .data = 0                                                                              \
        }                                                                                          \
    }

typedef struct row {
    const char *name;
    fil_status  status;
    const char *message;
    void (*build)(buffer *b); /* instead of file */
    gguf_file file;
} row;

static const row rows[] = {
    /* Version. */
    UNSUP("gguf-version-1", "version 1, which had 32-bit lengths", .version = 1),
    UNSUP("gguf-version-4", "version 4 is not read", .version = 4),
    UNSUP("gguf-big-endian", "big-endian GGUF (version 3)", .version = 3u << 24),
    UNSUP("gguf-version-max", "is not read", .version = UINT32_MAX),

    /* Products that wrap (1), also behind a zero (8). */
    FORMAT("gguf-product-2-to-64", "no valid number of bytes",
           INFOS({.name = "a", .rank = 2, .dims = {TWO32, TWO32}}), .data = 32),
    FORMAT("gguf-product-wraps-to-4", "no valid number of bytes",
           INFOS({.name = "a", .rank = 2, .dims = {TWO62 + 1, 4}}), .data = 32),
    FORMAT("gguf-bits-wrap", "no valid number of bytes", INFOS(F32(.dims = {TWO62 + 4})),
           .data = 32),
    FORMAT("gguf-product-hidden-by-zero", "no valid number of bytes",
           INFOS({.name = "a", .rank = 3, .dims = {TWO32, TWO32, 0}}), .data = 32),
    FORMAT("gguf-product-behind-zero", "no valid number of bytes",
           INFOS({.name = "a", .rank = 3, .dims = {0, TWO32, TWO32}}), .data = 32),
    FORMAT("gguf-blocks-wrap", "no valid number of bytes",
           INFOS({.name = "a", .type = GGML_Q4_K, .rank = 2, .dims = {256, TWO58}}), .data = 32),
    FORMAT("gguf-dimension-2-to-63", "outside 0 to 2^63 - 1", INFOS(F32(.dims = {TWO63})),
           .data = 32),
    FORMAT("gguf-dimension-minus-4", "outside 0 to 2^63 - 1", INFOS(F32(.dims = {MAX64 - 3})),
           .data = 32),

    /* Sums that wrap (2), padding that wraps (3). */
    FORMAT("gguf-range-wraps", "no valid number of bytes",
           INFOS(F32(.dims = {16}, .offset = MAX64 - 31)), .data = 64),
    FORMAT("gguf-range-ends-at-2-to-64", "a hole", INFOS(F32(.dims = {7}, .offset = MAX64 - 31)),
           .data = 64),
    FORMAT("gguf-empty-at-the-end-of-64-bits", "a hole",
           INFOS(F32(.dims = {0}, .offset = MAX64 - 31)), .data = 32),
    FORMAT("gguf-sum-of-sizes-wraps", "the file has 64 bytes of data",
           INFOS({.name = "a", .rank = 1, .dims = {TWO58 - 8}},
                 {.name = "b", .rank = 1, .dims = {TWO58}, .offset = 4 * (TWO58 - 8)}),
           .data = 64),

    /* Counts (4). */
    FORMAT("gguf-tensors-max", "promises 18446744073709551615 tensors", .says_tensors = MAX64),
    FORMAT("gguf-tensors-2-to-63", "tensors", .says_tensors = TWO63),
    FORMAT("gguf-tensors-wrap", "tensors", .says_tensors = MAX64 / 25 + 2),
    FORMAT("gguf-tensors-65537", "tensors", .says_tensors = 65537, .data = 25 * 65536),
    FORMAT("gguf-tensors-one-more", "cut off or damaged", INFOS(GOOD), .says_tensors = 2,
           .data = 32),
    FORMAT("gguf-tensors-one-less", "belong to no tensor",
           INFOS(GOOD, {.name = "b", .rank = 1, .dims = {4}, .offset = 32}), .says_tensors = 1,
           .data = 64),
    FORMAT("gguf-pairs-max", "promises 18446744073709551615 key-value pairs", .says_pairs = MAX64),
    FORMAT("gguf-pairs-2-to-63", "key-value pairs", .says_pairs = TWO63),
    FORMAT("gguf-pairs-one-more", "", PAIRS(U32("k", "\1\0\0\0")), INFOS(GOOD), .says_pairs = 2,
           .data = 32),
    BUILD("gguf-pairs-4097", E_LIMIT, "limit: metadata_pairs", build_many_pairs),
    BUILD("gguf-tensors-65537-there", E_LIMIT, "limit: tensors", build_many_tensors),

    /* Lengths of strings (5, 10). */
    FORMAT("gguf-name-length-max", "cut off or damaged",
           INFOS(F32(.dims = {4}, .name_bytes = MAX64)), .data = 32),
    FORMAT("gguf-name-length-2-to-63", "cut off or damaged",
           INFOS(F32(.dims = {4}, .name_bytes = TWO63)), .data = 32),
    FORMAT("gguf-name-to-the-end", "cut off or damaged", INFOS(F32(.dims = {4}, .name_bytes = 93)),
           .data = 32),
    FORMAT("gguf-key-length-max", "cut off or damaged",
           PAIRS({"k", GGUF_U8, GGUF_VALUE("\1"), MAX64}), .data = 32),
    FORMAT("gguf-key-length-plus-8-wraps", "cut off or damaged",
           PAIRS({"k", GGUF_U8, GGUF_VALUE("\1"), MAX64 - 7}), .data = 32),
    FORMAT("gguf-value-length-max", "cut off or damaged", PAIRS(P("k", GGUF_STRING, ALL_U64)),
           .data = 32),
    FORMAT("gguf-value-length-2-to-63", "cut off or damaged", PAIRS(P("k", GGUF_STRING, HALF_U64)),
           .data = 32),
    FORMAT("gguf-array-length-wraps-to-8", "promises 2305843009213693953 values",
           PAIRS(P("k", GGUF_ARRAY, "\x0a\0\0\0\1\0\0\0\0\0\0\x20")), .data = 32),
    FORMAT("gguf-array-length-max", "cut off or damaged",
           PAIRS(P("k", GGUF_ARRAY, "\0\0\0\0" ALL_U64)), .data = 32),
    FORMAT("gguf-array-one-short", "cut off or damaged",
           PAIRS(P("k", GGUF_ARRAY, "\0\0\0\0\x30\0\0\0\0\0\0\0")), .data = 32),
    FORMAT("gguf-strings-max", "promises 18446744073709551615 strings",
           PAIRS(P("k", GGUF_ARRAY, "\x08\0\0\0" ALL_U64)), .data = 32),
    FORMAT("gguf-strings-more-than-the-file", "promises 256 strings",
           PAIRS(P("k", GGUF_ARRAY, "\x08\0\0\0\0\1\0\0\0\0\0\0")), .data = 32),
    FORMAT("gguf-string-of-array-max", "cut off or damaged",
           PAIRS(P("k", GGUF_ARRAY, "\x08\0\0\0" TWO_U64 ONE_U64 "x" ALL_U64)), .data = 32),

    /* Dimensions (6). */
    LIMIT("gguf-rank-9", "has 9 dimensions",
          INFOS({.name = "a", .rank = 9, .dims = {4, 1, 1, 1, 1, 1, 1, 1, 1}}), .data = 32),
    LIMIT("gguf-rank-max", "has 4294967295 dimensions",
          INFOS({.name = "a", .rank = UINT32_MAX, .dims = {4}}), .data = 32),

    /* Types (7). */
    UNSUP("gguf-type-removed", "ggml type 4 (no known type)", INFOS(F32(.type = 4, .dims = {4})),
          .data = 32),
    UNSUP("gguf-type-41", "ggml type 41 (no known type)", INFOS(F32(.type = 41, .dims = {4})),
          .data = 32),
    UNSUP("gguf-type-max", "ggml type 4294967295", INFOS(F32(.type = UINT32_MAX, .dims = {4})),
          .data = 32),
    UNSUP("gguf-type-2-to-31", "ggml type 2147483648", INFOS(F32(.type = 1u << 31, .dims = {4})),
          .data = 32),
    UNSUP("gguf-type-iq4-xs", "IQ4_XS", INFOS(F32(.type = 23, .dims = {256})), .data = 160),
    UNSUP("gguf-type-mxfp4", "MXFP4", INFOS(F32(.type = 39, .dims = {32})), .data = 32),
    FORMAT("gguf-value-type-13", "type 13", PAIRS(P("k", 13, "\1\0\0\0")), .data = 32),
    FORMAT("gguf-value-type-max", "type 4294967295", PAIRS(P("k", UINT32_MAX, "\1")), .data = 32),
    FORMAT("gguf-array-type-13", "type 13", PAIRS(P("k", GGUF_ARRAY, "\x0d\0\0\0" ONE_U64 "\1")),
           .data = 32),
    UNSUP("gguf-array-of-arrays", "array of arrays",
          PAIRS(P("k", GGUF_ARRAY, "\x09\0\0\0" ONE_U64 "\0\0\0\0" ONE_U64 "\1")), .data = 32),
    FORMAT("gguf-bool-2", "bool of value 2", PAIRS(P("k", GGUF_BOOL, "\2")), .data = 32),

    /* Alignment (9). */
    FORMAT("gguf-alignment-0", "expected a power of two", PAIRS(U32(ALIGNMENT, "\0\0\0\0")),
           INFOS(GOOD), .data = 32),
    FORMAT("gguf-alignment-3", "expected a power of two", PAIRS(U32(ALIGNMENT, "\3\0\0\0")),
           INFOS(GOOD), .data = 32),
    FORMAT("gguf-alignment-33", "expected a power of two", PAIRS(U32(ALIGNMENT, "\x21\0\0\0")),
           INFOS(GOOD), .data = 32),
    FORMAT("gguf-alignment-max", "expected a power of two",
           PAIRS(U32(ALIGNMENT, "\xff\xff\xff\xff")), INFOS(GOOD), .data = 32),
    LIMIT("gguf-alignment-2-mib", "the limit is 1048576", PAIRS(U32(ALIGNMENT, "\0\0\x20\0")),
          INFOS(GOOD), .data = 32),
    LIMIT("gguf-alignment-2-gib", "the limit is 1048576", PAIRS(U32(ALIGNMENT, "\0\0\0\x80")),
          INFOS(GOOD), .data = 32),
    FORMAT("gguf-alignment-u64", "has type 10", PAIRS(P(ALIGNMENT, GGUF_U64, "\x20\0\0\0\0\0\0\0")),
           INFOS(GOOD), .data = 32),
    FORMAT("gguf-alignment-i32", "has type 5", PAIRS(P(ALIGNMENT, GGUF_I32, "\x20\0\0\0")),
           INFOS(GOOD), .data = 32),
    FORMAT("gguf-alignment-array", "has type 9",
           PAIRS(P(ALIGNMENT, GGUF_ARRAY, "\4\0\0\0" ONE_U64 "\x20\0\0\0")), INFOS(GOOD),
           .data = 32),
    FORMAT("gguf-alignment-string", "has type 8", PAIRS(P(ALIGNMENT, GGUF_STRING, TWO_U64 "32")),
           INFOS(GOOD), .data = 32),
    FORMAT("gguf-alignment-twice", "'general.alignment' is there twice",
           PAIRS(U32(ALIGNMENT, "\x20\0\0\0"), U32(ALIGNMENT, "\x40\0\0\0")), INFOS(GOOD),
           .data = 32),
    FORMAT("gguf-offset-unaligned", "no multiple of the alignment 32",
           INFOS(F32(.dims = {4}, .offset = 16)), .data = 32),
    FORMAT("gguf-offset-unaligned-to-64", "no multiple of the alignment 64",
           PAIRS(U32(ALIGNMENT, "\x40\0\0\0")),
           INFOS(GOOD, {.name = "b", .rank = 1, .dims = {4}, .offset = 32}), .alignment = 64,
           .data = 64),

    /* Ranges (10, 11). */
    FORMAT("gguf-data-missing", "the file has 0 bytes of data", INFOS(GOOD)),
    FORMAT("gguf-data-one-short", "the file has 15 bytes of data", INFOS(GOOD), .data = 15),
    FORMAT("gguf-data-beyond", "the file has 32 bytes of data", INFOS(F32(.dims = {1000})),
           .data = 32),
    FORMAT("gguf-blocks-beyond", "the file has 143 bytes of data",
           INFOS(F32(.type = GGML_Q4_K, .dims = {256})), .data = 143),
    FORMAT("gguf-overlap", "an overlap",
           INFOS(F32(.dims = {16}), {.name = "b", .rank = 1, .dims = {4}, .offset = 32}),
           .data = 64),
    FORMAT("gguf-same-range", "an overlap", INFOS(GOOD, {.name = "b", .rank = 1, .dims = {4}}),
           .data = 32),
    FORMAT("gguf-hole-first", "a hole", INFOS(F32(.dims = {4}, .offset = 32)), .data = 64),
    FORMAT("gguf-hole-between", "a hole",
           INFOS(GOOD, {.name = "b", .rank = 1, .dims = {4}, .offset = 64}), .data = 96),
    FORMAT("gguf-tail", "32 bytes after the last tensor", INFOS(GOOD), .data = 64),
    FORMAT("gguf-tail-1-byte", "1 bytes after the last tensor", INFOS(GOOD), .data = 33),
    FORMAT("gguf-no-tensor-and-data", "32 bytes after the last tensor", .data = 32),
    FORMAT("gguf-half-a-block", "rows of 16 elements; Q8_0 has blocks of 32",
           INFOS({.name = "a", .type = GGML_Q8_0, .rank = 2, .dims = {16, 2}}), .data = 64),
    FORMAT("gguf-block-without-dimension", "rows of 1 elements",
           INFOS({.name = "a", .type = GGML_Q8_0}), .data = 64),
    FORMAT("gguf-k-rows-of-32", "Q4_K has blocks of 256",
           INFOS({.name = "a", .type = GGML_Q4_K, .rank = 2, .dims = {32, 8}}), .data = 160),

    /* Names and keys (12). */
    FORMAT("gguf-name-twice", "tensor 'a' is there twice",
           INFOS(GOOD, F32(.dims = {4}, .offset = 32)), .data = 64),
    FORMAT("gguf-name-empty", "empty name", INFOS({.name = "", .rank = 1, .dims = {4}}),
           .data = 32),
    FORMAT("gguf-name-control", "control character",
           INFOS({.name = "a\x1b[2J", .rank = 1, .dims = {4}}), .data = 32),
    FORMAT("gguf-name-utf8", "is not UTF-8", INFOS({.name = "a\xff", .rank = 1, .dims = {4}}),
           .data = 32),
    BUILD("gguf-name-too-long", E_LIMIT, "the limit is 512", build_long_name),
    FORMAT("gguf-key-twice", "key 'k' is there twice",
           PAIRS(U32("k", "\1\0\0\0"), P("j", GGUF_U8, "\1"), P("k", GGUF_U8, "\1")), .data = 0),
    FORMAT("gguf-key-empty", "is empty", PAIRS(P("", GGUF_U8, "\1")), .data = 32),
    FORMAT("gguf-key-control", "control character", PAIRS(P("a\nb", GGUF_U8, "\1")), .data = 32),
    FORMAT("gguf-key-utf8", "is not UTF-8", PAIRS(P("\xc0\xaf", GGUF_U8, "\1")), .data = 32),
    BUILD("gguf-key-too-long", E_FORMAT, "GGUF allows 65535", build_long_key),
    FORMAT("gguf-value-utf8", "not UTF-8 or has a NUL",
           PAIRS(P("k", GGUF_STRING, TWO_U64 "\xed\xa0")), .data = 0),
    FORMAT("gguf-value-nul", "not UTF-8 or has a NUL", PAIRS(P("k", GGUF_STRING, TWO_U64 "a\0")),
           .data = 0),
    BUILD("gguf-metadata-bytes", E_LIMIT, "limit: metadata_bytes", build_much_metadata),

    /* The true shape of a flattened tensor (11, 1). */
    FORMAT("gguf-shape-more", "another number of elements than the 4",
           PAIRS(SHAPE("\5\0\0\0" TWO_U64 "\2\0\0\0\3\0\0\0")), INFOS(GOOD), .data = 32),
    FORMAT("gguf-shape-less", "another number of elements",
           PAIRS(SHAPE("\5\0\0\0" ONE_U64 "\2\0\0\0")), INFOS(GOOD), .data = 32),
    FORMAT("gguf-shape-none", "another number of elements",
           PAIRS(SHAPE("\5\0\0\0\0\0\0\0\0\0\0\0")), INFOS(GOOD), .data = 32),
    FORMAT("gguf-shape-negative", "another number of elements",
           PAIRS(SHAPE("\5\0\0\0" TWO_U64 "\xfe\xff\xff\xff\xfe\xff\xff\xff")), INFOS(GOOD),
           .data = 32),
    FORMAT("gguf-shape-wraps", "another number of elements",
           PAIRS(SHAPE("\x0a\0\0\0" TWO_U64 "\1\0\0\0\0\0\0\x40\4\0\0\0\0\0\0\0")), INFOS(GOOD),
           .data = 32),
    FORMAT("gguf-shape-2-to-63", "no list of whole numbers",
           PAIRS(SHAPE("\x0a\0\0\0" ONE_U64 HALF_U64)), INFOS(GOOD), .data = 32),
    FORMAT("gguf-shape-of-floats", "no list of whole numbers",
           PAIRS(SHAPE("\6\0\0\0" ONE_U64 "\0\0\x80\x40")), INFOS(GOOD), .data = 32),
    FORMAT("gguf-shape-of-strings", "no list of whole numbers",
           PAIRS(SHAPE("\x08\0\0\0" ONE_U64 ONE_U64 "4")), INFOS(GOOD), .data = 32),
    FORMAT("gguf-shape-is-a-number", "no list of whole numbers",
           PAIRS(U32("comfy.gguf.orig_shape.a", "\4\0\0\0")), INFOS(GOOD), .data = 32),
    LIMIT("gguf-shape-rank-9", "orig_shape has 9 dimensions",
          PAIRS(SHAPE("\0\0\0\0\x09\0\0\0\0\0\0\0\1\1\1\1\1\1\1\1\4")), INFOS(GOOD), .data = 32),
};

const size_t n_malformed_ggufs = sizeof rows / sizeof rows[0];

const char *malformed_gguf(size_t i, blob *out, fil_status *status, const char **message)
{
    buffer b = {0};
    if (rows[i].build != NULL)
        rows[i].build(&b);
    else
        gguf_make(&b, &rows[i].file);
    *out = (blob){.data = NULL};
    blob_append(out, b.data, b.bytes);
    buffer_free(&b);
    *status  = rows[i].status;
    *message = rows[i].message;
    return rows[i].name;
}
