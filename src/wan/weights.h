/* wan/weights.h: the tensors of one part of a model under their original names.
 *
 * A part (DiT, text encoder, VAE) is opened from whatever holds it: one file, the index of a
 * sharded model, a .pth, or a folder. Canonical names are those of the original repository; the
 * name map of each part (names_*.c) turns diffusers' names into them and strips the prefixes of
 * single files. fp8_scaled files are read with their scales, and blocks of GGUF files are turned
 * into numbers as they are read. Nothing is read but headers until a tensor is asked for. It knows
 * no model: which tensors there must be is said by who asks.
 */
#ifndef FILI_WAN_WEIGHTS_H
#define FILI_WAN_WEIGHTS_H

#include <stdbool.h>

#include "io/tensors.h"

/* FILI_PART_OTHER: no part that is known; names are as they are. */
typedef enum fili_part { FILI_PART_DIT, FILI_PART_T5, FILI_PART_VAE, FILI_PART_OTHER } fili_part;

typedef struct fili_weights fili_weights;

/* ---- opening -------------------------------------------------------------------------------- */

/* path: a file, an index, or a folder that holds the part (model_paths.h says where). flags: 0 or
 * FIL_OPEN_TRUSTED. E_IO, E_FORMAT, E_LIMIT, E_UNSUP, E_NOMEM as fili_tensors_open; E_MISMATCH: the
 * folder has no such part; E_FORMAT: two tensors with one canonical name. On failure *out is NULL.
 */
FIL_MUSTCHECK fil_status fili_weights_open(fil_ctx *ctx, fili_part part, const char *path,
                                           uint32_t flags, fili_weights **out);

/* The part that files hold, n >= 1 of them, told from their tensors: fili_weights_part says which.
 * Without a config.json. */
FIL_MUSTCHECK fil_status fili_weights_open_files(fil_ctx *ctx, const char *const *paths, size_t n,
                                                 uint32_t flags, fili_weights **out);

/* A tensor in memory. */
typedef struct fili_made_tensor {
    const char *name; /* canonical */
    fil_dtype   dtype;
    uint32_t    rank;
    int64_t     shape[FIL_MAX_RANK];
    const void *data; /* dense; borrowed until close */
} fili_made_tensor;

/* The same from tensors in memory (benchmarks, tests): names and list are copied, data is not.
 * config: text of a config.json, copied, or NULL. */
FIL_MUSTCHECK fil_status fili_weights_make(fil_ctx *ctx, fili_part part,
                                           const fili_made_tensor *tensors, size_t n,
                                           const char *config, fili_weights **out);

/* NULL and a NULL handle are accepted; sets *w to NULL. What fili_weights_get gave is gone then. */
void fili_weights_close(fili_weights **w);

/* ---- asking --------------------------------------------------------------------------------- */

fil_ctx *fili_weights_ctx(const fili_weights *w);

fili_part fili_weights_part(const fili_weights *w);

/* The directory of the file, or of all files. */
const fili_tensors *fili_weights_set(const fili_weights *w);

/* By canonical name; NULL = absent. entry->name is the name in the file. Does not count as use. */
const fili_entry *fili_weights_find(const fili_weights *w, const char *name);

/* The i-th of all tensors, by canonical name, byte-wise ascending; those that the part's map does
 * not know keep the file's name, without prefix. Scales and markers of fp8 files are not among
 * them. */
size_t            fili_weights_count(const fili_weights *w);
const fili_entry *fili_weights_at(const fili_weights *w, size_t i, const char **name);

/* What taking the i-th involves. */
typedef enum fili_weight_kind {
    FILI_WEIGHT_PLAIN,  /* numbers or blocks of them */
    FILI_WEIGHT_SCALED, /* with a scale beside it: fp8_scaled */
    FILI_WEIGHT_OTHER,  /* no numbers to compute with: integers */
    FILI_WEIGHT_UNREAD  /* quantised in a way that is not read */
} fili_weight_kind;
fili_weight_kind fili_weights_kind(const fili_weights *w, size_t i);

/* True for the scales and marks of fp8 files, by their name in the file. */
bool fili_weights_is_mark(const char *name);

/* Text of the part's config.json (beside the file or in the folder), NUL-terminated; NULL if there
 * is none or it belongs to another part. At most the context's limit header_bytes. */
const char *fili_weights_config(const fili_weights *w);

/* What these tensors look like: "Wan2.1 T2V-14B", "a UMT5 text encoder", ... Static storage. */
const char *fili_weights_likely(const fili_weights *w);

/* Bytes of the tensors in the file. */
uint64_t fili_weights_bytes(const fili_weights *w);

/* ---- taking --------------------------------------------------------------------------------- */

/* The first three mark the tensor as used and check it against `shape`: a dimension of -1 takes
 * anything. want: BF16 or F32; of read also the tensor's own type, as it lies there. E_MISMATCH,
 * with name, expected, found and the likely model: absent; another shape; a type that is no
 * floating-point type. E_UNSUP: a quantisation that is not read. E_IO, E_NOMEM. */

/* The tensor, dense: where it lies (mapped and of that type, aligned), else read and converted once
 * and kept until close. */
FIL_MUSTCHECK fil_status fili_weights_get(fili_weights *w, const char *name, fil_dtype want,
                                          uint32_t rank, const int64_t *shape, const void **data);

/* Into memory of the caller, which holds all of it; nothing is kept. */
FIL_MUSTCHECK fil_status fili_weights_read(fili_weights *w, const char *name, fil_dtype want,
                                           uint32_t rank, const int64_t *shape, void *dst);

/* n elements from `first` on, row-major, of a tensor that fili_weights_expect has checked: rows of
 * an embedding. Does not count as use. E_ARG: outside of the tensor; E_IO. */
FIL_MUSTCHECK fil_status fili_weights_read_part(fili_weights *w, const char *name, fil_dtype want,
                                                uint64_t first, uint64_t n, void *dst);

/* Checks only; for tensors that are wanted without their values. */
FIL_MUSTCHECK fil_status fili_weights_expect(fili_weights *w, const char *name, uint32_t rank,
                                             const int64_t *shape);

/* A hint to the system: tensors whose canonical names begin with `prefix` will be wanted soon. */
void fili_weights_will_read(const fili_weights *w, const char *prefix);

/* Where the tensor lies if it can be used as `want` there (mapped or made in memory, of that type,
 * aligned, no scale), else NULL. Does not count as use. */
const void *fili_weights_in_place(const fili_weights *w, const char *name, fil_dtype want);

/* Where a tensor of any type that convert.h or dequant.h reads lies, as in_place; NULL: it is not
 * there. *dtype: its type; NONE: it has another, or a scale. */
const void *fili_weights_as_they_are(const fili_weights *w, const char *name, fil_dtype *dtype);

/* E_MISMATCH with the first tensor that nobody took, and the likely model. */
FIL_MUSTCHECK fil_status fili_weights_check_all_used(fili_weights *w);

/* ---- name maps ------------------------------------------------------------------------------ */

/* Writes the canonical name of `file_name` (without prefix) into out[size]. 1: known. 0: none of
 * this part's names (out is untouched). 2: belongs to the part, but nobody needs it. */
int fili_names_dit(const char *file_name, char *out, size_t size);
int fili_names_t5(const char *file_name, char *out, size_t size);
int fili_names_vae(const char *file_name, char *out, size_t size);

/* The way back, from canonical names to those of diffusers (transformers', of a text encoder) and
 * of llama.cpp. 1: known; 0: not, out is untouched. */
int fili_names_dit_diffusers(const char *canonical, char *out, size_t size);
int fili_names_t5_diffusers(const char *canonical, char *out, size_t size);
int fili_names_vae_diffusers(const char *canonical, char *out, size_t size);
int fili_names_t5_llama(const char *canonical, char *out, size_t size);

#endif
