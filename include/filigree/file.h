/* filigree/file.h: files of named tensors, read and written.
 *
 * One handle for a safetensors file, a PyTorch checkpoint (.pth, .pt, .bin), a GGUF file, or a
 * sharded safetensors model through its index (NAME.safetensors.index.json). The format is told
 * from the content. Opening reads and validates headers only, never weights: a 30 GB model opens in
 * milliseconds and a few megabytes. Nothing in a file is executed.
 *
 *     fil_file *file = NULL;
 *     fil_tensor_info t;
 *     if (fil_file_open(ctx, path, 0, &file) == FIL_OK)
 *         for (size_t i = 0; i < fil_file_tensors(file); i++) {
 *             fil_file_tensor(file, i, &t);
 *             printf("%s %s\n", t.name, fil_dtype_name(t.dtype));
 *         }
 *     fil_file_close(&file);
 *
 * Formats: safetensors (github.com/huggingface/safetensors, README "Format"), with its rules
 * checked in full: no holes, no overlap, no tail, no duplicate names. PyTorch zip checkpoints:
 * entries stored, pickle protocol 2 to 5 with a short list of opcodes and globals; everything else
 * refused. GGUF (github.com/ggml-org/ggml, docs/gguf.md): versions 2 and 3, little-endian, up to
 * FIL_MAX_RANK dimensions, with the same rules for ranges and names; dimensions are turned round to
 * row-major, and where a key comfy.gguf.orig_shape.NAME gives a tensor another shape of as many
 * elements, that is its shape.
 */
#ifndef FILIGREE_FILE_H
#define FILIGREE_FILE_H

#include "filigree/filigree.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- element types -------------------------------------------------------------------------- */

/* X(name, value, bits per element, name in a safetensors file). Those from 32 on are listed and
 * copied, but filigree does not compute with them. Values are permanent. */
#define FIL_DTYPE_LIST(X)                                                                          \
    X(F64, 1, 64, "F64")        /* IEEE binary64 */                                                \
    X(F32, 2, 32, "F32")        /* IEEE binary32 */                                                \
    X(BF16, 3, 16, "BF16")      /* upper half of an F32 */                                         \
    X(F16, 4, 16, "F16")        /* IEEE binary16 */                                                \
    X(F8_E4M3, 5, 8, "F8_E4M3") /* bias 7, no infinity, largest 448 */                             \
    X(I64, 6, 64, "I64")        /* two's complement */                                             \
    X(I32, 7, 32, "I32")                                                                           \
    X(I8, 8, 8, "I8")                                                                              \
    X(U32, 9, 32, "U32") /* unsigned */                                                            \
    X(U8, 10, 8, "U8")                                                                             \
    X(BOOL, 11, 8, "BOOL") /* one byte, 0 or 1 */                                                  \
    X(I16, 32, 16, "I16")                                                                          \
    X(U16, 33, 16, "U16")                                                                          \
    X(U64, 34, 64, "U64")                                                                          \
    X(C64, 35, 64, "C64")                /* two F32: real, imaginary */                            \
    X(F8_E5M2, 36, 8, "F8_E5M2")         /* as an IEEE type, bias 15 */                            \
    X(F8_E8M0, 37, 8, "F8_E8M0")         /* a power of two: scales of MX formats */                \
    X(F8_E4M3FNUZ, 38, 8, "F8_E4M3FNUZ") /* bias 8, no infinity, no -0 */                          \
    X(F8_E5M2FNUZ, 39, 8, "F8_E5M2FNUZ") /* bias 16, no infinity, no -0 */                         \
    X(F6_E2M3, 40, 6, "F6_E2M3")         /* three quarters of a byte each */                       \
    X(F6_E3M2, 41, 6, "F6_E3M2")                                                                   \
    X(F4, 42, 4, "F4") /* two in a byte */

/* Block types of GGUF files. X(name, value, elements of a block, bytes of a block). The elements of
 * a block, neighbours in row-major order, share scales, so that none has an address or a number of
 * bits of its own. They are listed, copied, and turned into numbers when a model is loaded; no
 * safetensors file has them. Values are permanent. */
#define FIL_BLOCK_DTYPE_LIST(X)                                                                    \
    X(Q4_0, 48, 32, 18)  /* 4 bits and a scale */                                                  \
    X(Q4_1, 49, 32, 20)  /* and a smallest value */                                                \
    X(Q5_0, 50, 32, 22)  /* 5 bits and a scale */                                                  \
    X(Q5_1, 51, 32, 24)  /* and a smallest value */                                                \
    X(Q8_0, 52, 32, 34)  /* 8 bits and a scale */                                                  \
    X(Q2_K, 53, 256, 84) /* 2 bits; from here on with scales of parts of the block */              \
    X(Q3_K, 54, 256, 110)                                                                          \
    X(Q4_K, 55, 256, 144)                                                                          \
    X(Q5_K, 56, 256, 176)                                                                          \
    X(Q6_K, 57, 256, 210)

typedef enum fil_dtype {
    FIL_DTYPE_NONE = 0,
#define FIL_DTYPE_ENUM(name, value, ...) FIL_##name = (value),
    FIL_DTYPE_LIST(FIL_DTYPE_ENUM) FIL_BLOCK_DTYPE_LIST(FIL_DTYPE_ENUM)
#undef FIL_DTYPE_ENUM
} fil_dtype;

/* Name as in a safetensors file ("BF16") or of a block type ("Q4_K"), or "?" for a value that is no
 * dtype. Static storage. */
FIL_API const char *fil_dtype_name(fil_dtype dtype);
/* Bits of one element; 0 for a block type, and for a value that is no dtype. */
FIL_API uint32_t fil_dtype_bits(fil_dtype dtype);
/* Bytes of the shortest run of elements that fills whole bytes, and how many elements that is: 4
 * and 1 for F32, 1 and 2 for F4, 144 and 256 for Q4_K. A tensor has elements / *elements times as
 * many bytes. 0 and 0 for a value that is no dtype. elements is not NULL. */
FIL_API uint32_t fil_dtype_block(fil_dtype dtype, uint32_t *elements);

/* ---- reading -------------------------------------------------------------------------------- */

/* Dimensions of a tensor, at most. A file with more gives E_LIMIT. */
#define FIL_MAX_RANK 8

/* An open file, or all shards of a sharded model as one. Opaque. Read-only: its directory never
 * changes after opening, and the strings it lends live until it is closed. */
typedef struct fil_file fil_file;

/* Flags of fil_file_open and fil_folder_open. */

/* Follow symbolic links beside an index or in a folder, and map files into memory. A file that
 * shrinks while it is mapped ends the process (SIGBUS), so this is for files of your own. */
#define FIL_OPEN_TRUSTED 1u

/* One entry of a file's directory, filled by the library. Like fil_tensor_desc and fil_pair below,
 * its layout is final: what may come later comes with a function of its own. */
typedef struct fil_tensor_info {
    const char *name; /* UTF-8 without control characters; borrowed from the file */
    fil_dtype   dtype;
    uint32_t    rank;                /* 0 (one element) to FIL_MAX_RANK */
    int64_t     shape[FIL_MAX_RANK]; /* row-major, last index fastest */
    uint64_t    bytes;               /* of all elements; see fil_dtype_block */
    uint64_t    offset;              /* of the first byte in its file; not aligned to anything */
    const char *file; /* base name of the file that holds it; borrowed from the file */
} fil_tensor_info;

/* Opens `path` (borrowed for the call) and validates everything that is not weights.
 * E_IO: cannot be opened or read; E_FORMAT: malformed; E_LIMIT: over a limit of the context;
 * E_UNSUP: well-formed, but of a kind that filigree does not read; E_MISMATCH: shards and index
 * disagree; E_NOMEM; E_ARG. The file borrows ctx; close it first. */
FIL_API FIL_MUSTCHECK fil_status fil_file_open(fil_ctx *ctx, const char *path, uint32_t flags,
                                               fil_file **out);

/* Closes and sets *file to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_file_close(fil_file **file);

/* The functions below take an open file, never NULL, and cannot fail unless they say so. */

/* "safetensors", "safetensors-index", "pytorch" or "gguf". Static storage. */
FIL_API const char *fil_file_format(const fil_file *file);

/* Number of tensors; of files they lie in (1 unless it is an index); and the sum of those files'
 * sizes in bytes, headers included. */
FIL_API size_t   fil_file_tensors(const fil_file *file);
FIL_API size_t   fil_file_shards(const fil_file *file);
FIL_API uint64_t fil_file_bytes(const fil_file *file);

/* The i-th tensor, ordered by name (byte-wise, as strcmp does). i < fil_file_tensors(file), or
 * *info is zeroed. Strings in *info are borrowed from the file. */
FIL_API void fil_file_tensor(const fil_file *file, size_t i, fil_tensor_info *info);

/* Index of the tensor with exactly this name, for fil_file_tensor and fil_file_read; -1 if there is
 * none. Takes O(log n) comparisons. */
FIL_API int64_t fil_file_find(const fil_file *file, const char *name);

/* Metadata of a safetensors or GGUF file, in the file's order, as text: strings as they are, a
 * GGUF's numbers in decimal, its short lists of numbers in brackets, and of other lists only how
 * long they are. Empty for PyTorch checkpoints and for an index.
 * i < fil_file_metadata_pairs(file), or both are NULL. Borrowed from the file. */
FIL_API size_t fil_file_metadata_pairs(const fil_file *file);
FIL_API void   fil_file_metadata(const fil_file *file, size_t i, const char **key,
                                 const char **value);

/* Copies `bytes` bytes of tensor i, from byte `begin` of the tensor, to dst: raw little-endian
 * elements as in the file, no conversion. dst belongs to the caller and needs no alignment; 0 bytes
 * are fine. E_ARG: outside the tensor, or no such tensor; E_IO: the system could not read, or the
 * file has shrunk since it was opened (dst is then undefined, the file stays usable). */
FIL_API FIL_MUSTCHECK fil_status fil_file_read(fil_file *file, size_t i, uint64_t begin, void *dst,
                                               uint64_t bytes);

/* ---- model folders -------------------------------------------------------------------------- */

/* The tensor files of a folder, by name: opening them is the caller's. Opaque. */
typedef struct fil_folder fil_folder;

/* Lists the tensor files of a model folder and of its direct subfolders: every
 * NAME.safetensors.index.json, every .safetensors that no index of its folder names, every .pth and
 * every .gguf. config.json and model_index.json beside them tell the layout. No file is read but
 * the indexes. Hidden entries are ignored. Symbolic links are skipped with a warning in the log,
 * unless FIL_OPEN_TRUSTED is given. Statuses as fil_file_open; E_LIMIT beyond 65,536 entries;
 * E_MISMATCH if there is no tensor file at all. */
FIL_API FIL_MUSTCHECK fil_status fil_folder_open(fil_ctx *ctx, const char *path, uint32_t flags,
                                                 fil_folder **out);

/* Closes and sets *folder to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_folder_close(fil_folder **folder);

/* Number of tensor files, and the path of the i-th relative to the folder ("vae/x.safetensors"),
 * ordered by path; NULL if i is out of range. Borrowed from the folder. */
FIL_API size_t      fil_folder_files(const fil_folder *folder);
FIL_API const char *fil_folder_file(const fil_folder *folder, size_t i);

/* How the model is laid out. Static storage.
 *   "diffusers"  model_index.json at the top
 *   "original"   config.json and a tensor file at the top, as the authors of Wan publish
 *   "files"      neither: single files, as ComfyUI uses them */
FIL_API const char *fil_folder_layout(const fil_folder *folder);

/* ---- writing -------------------------------------------------------------------------------- */

/* A safetensors file in the making. Opaque. Nothing is seen under the final name until
 * fil_writer_finish; its memory does not depend on the size of the data.
 *
 *     fil_tensor_desc t = {.name = "w", .dtype = FIL_F32, .rank = 2, .shape = {2, 3}};
 *     fil_writer *w = NULL;
 *     if (fil_writer_open(ctx, "w.safetensors", &t, 1, NULL, 0, 0, &w) == FIL_OK &&
 *         fil_writer_put(w, 0, data, 24) == FIL_OK)
 *         fil_writer_finish(&w);
 *     fil_writer_close(&w);                          // removes what was not finished
 */
typedef struct fil_writer fil_writer;

/* An existing file is replaced, at the end and in one step. Without this flag fil_writer_open
 * refuses it, and fil_writer_finish one that has appeared meanwhile. */
#define FIL_WRITE_REPLACE 1u

/* What the caller wants written. Zero-initialise it, then fill. */
typedef struct fil_tensor_desc {
    const char *name;  /* UTF-8, 1 to 512 bytes, no control characters, unique */
    fil_dtype   dtype; /* no block type */
    uint32_t    rank;
    int64_t     shape[FIL_MAX_RANK]; /* each >= 0 */
} fil_tensor_desc;

/* One entry of __metadata__. */
typedef struct fil_pair {
    const char *key, *value; /* UTF-8 without control characters; a value may have tabs and lines */
} fil_pair;

/* Begins a safetensors file at `path`: writes the header into a temporary file beside it. Data may
 * then come in any order and any pieces, so that a file may be larger than memory. Inputs are
 * borrowed for the call; the writer borrows ctx. Data area starts at a multiple of 64 bytes.
 * E_IO: cannot write, or the file exists and FIL_WRITE_REPLACE is not given, or a folder, fifo or
 * device has that name; E_LIMIT: more than the context's limits would let us read again; E_ARG: a
 * name, dtype, shape or text that no reader would accept; E_NOMEM. */
FIL_API FIL_MUSTCHECK fil_status fil_writer_open(fil_ctx *ctx, const char *path,
                                                 const fil_tensor_desc *tensors, size_t n_tensors,
                                                 const fil_pair *metadata, size_t n_pairs,
                                                 uint32_t flags, fil_writer **out);

/* Appends `bytes` bytes, little-endian, to tensor i (index into `tensors` above). Tensors may be
 * filled in any order and by turns. E_ARG: more than the tensor holds, or no such tensor (nothing
 * is written then, and the writer goes on); E_IO: the disk is full or broken, and the writer can
 * only be closed. */
FIL_API FIL_MUSTCHECK fil_status fil_writer_put(fil_writer *writer, size_t i, const void *data,
                                                uint64_t bytes);

/* Makes the file appear under its name, whole and durable: fsync, rename, fsync of the folder.
 * E_ARG: a tensor is incomplete. Closes the writer and sets *writer to NULL whatever the result;
 * on failure the temporary file is gone and what stood at `path` before is untouched. The one
 * exception: if only the fsync of the folder fails (E_IO), the new file stands at `path`, but may
 * not survive a power cut. */
FIL_API FIL_MUSTCHECK fil_status fil_writer_finish(fil_writer **writer);

/* Gives up: removes the temporary file. NULL and a NULL handle are accepted. */
FIL_API void fil_writer_close(fil_writer **writer);

#ifdef __cplusplus
}
#endif

#endif
