/* io/gguf_writer.h: writes a GGUF file of any size in constant memory.
 *
 * Version 3, little-endian, data aligned to 32 (the format's default). Tensors lie in the caller's
 * order, dimensions are turned round, and a shape is written whole: up to FIL_MAX_RANK dimensions,
 * as the published files of Wan have them, where ggml itself reads four. The rest is the writer of
 * safetensors_writer.h: put, finish and close are its own, the file appears whole or not at all,
 * and equal input gives equal bytes.
 */
#ifndef FILI_IO_GGUF_WRITER_H
#define FILI_IO_GGUF_WRITER_H

#include "io/safetensors_writer.h"

#define FILI_GGUF_ALIGN 32u

/* A key and its value: a text, or where that is NULL a u32. */
typedef struct fili_gguf_key {
    const char *key, *text;
    uint32_t    number;
} fili_gguf_key;

typedef struct fili_gguf_input {
    const fil_tensor_desc *tensors; /* block types are allowed */
    size_t                 n_tensors;
    const fili_gguf_key   *keys; /* ours: not checked */
    size_t                 n_keys;
} fili_gguf_input;

/* True if a GGUF file can hold elements of that type. */
bool fili_gguf_holds(fil_dtype dtype);

/* As fili_writer_open; then fili_writer_put, _finish, _close. */
FIL_MUSTCHECK fil_status fili_gguf_writer_open(fili_writer *w, fil_ctx *ctx, const char *path,
                                               const fili_gguf_input *input, int replace);

#endif
