/* io/json.h: untrusted JSON into a jansson tree.
 *
 * RFC 8259, strictly: valid UTF-8, no duplicate keys (after escapes), no NUL in strings, nothing
 * after the document, an object or an array at the top. Bounded before anything is built: nesting
 * depth 8, number of values, and numbers that are not plain decimal integers from 0 to 2^63 - 1
 * unless the caller allows reals. The tree's memory is counted against the context's limit, piece
 * by piece, by an upper bound. The text is read by our own loop, not by json_loadb: see json.c.
 */
#ifndef FILI_IO_JSON_H
#define FILI_IO_JSON_H

#include <jansson.h>

#include "base/ctx.h"

#define FILI_JSON_DEPTH 8

enum {
    FILI_JSON_REALS = 1, /* negative numbers, fractions and exponents are allowed (configs) */
    FILI_JSON_FLAT  = 2  /* arrays hold no containers: a byte of text then costs little memory */
};

typedef struct fili_json {
    json_t  *root;
    uint64_t reserved; /* bytes counted for it */
} fili_json;

/* text: `bytes` bytes, not NUL-terminated. max_values bounds objects + arrays + strings + numbers +
 * literals (keys count as strings). `what` names the document in messages ("header", "index").
 * E_FORMAT, E_LIMIT, E_NOMEM; on failure json->root is NULL. */
FIL_MUSTCHECK fil_status fili_json_parse(fil_ctx *ctx, const char *what, const char *text,
                                         size_t bytes, uint64_t max_values, int flags,
                                         fili_json *json);

/* Reads a whole JSON file (limit: header_bytes) and parses it. */
FIL_MUSTCHECK fil_status fili_json_read(fil_ctx *ctx, int dir, const char *path, int open_flags,
                                        uint64_t max_values, int flags, fili_json *json);

/* Idempotent. */
void fili_json_fini(fil_ctx *ctx, fili_json *json);

/* For a text that jansson has printed: it is freed by the function that jansson was given, if it
 * was. NULL is accepted. */
void fili_json_drop(char *text);

#endif
