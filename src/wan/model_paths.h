/* wan/model_paths.h: where the parts of a model lie: DiT, text encoder, VAE, tokenizer.
 *
 * Three published layouts (wan.md 1.2) are known, and folders that hold single files:
 *   original   config.json, diffusion_pytorch_model*, models_t5_*.pth, Wan*_VAE.pth,
 *              google/umt5-xxl/
 *   diffusers  model_index.json, transformer/, text_encoder/, vae/, tokenizer/
 *   comfy      diffusion_models/, text_encoders/, vae/
 * Any part can be given by hand, and then the folder is not asked for it. Looks at names alone.
 */
#ifndef FILI_WAN_MODEL_PATHS_H
#define FILI_WAN_MODEL_PATHS_H

#include "base/arena.h"
#include "wan/weights.h"

/* What the user says; each may be NULL. A part is a file, an index, or a folder. */
typedef struct fili_model_choice {
    const char *dir;
    const char *dit, *t5, *vae, *tokenizer;
} fili_model_choice;

typedef struct fili_model_paths {
    fil_ctx    *ctx;
    fili_arena  arena;
    const char *layout;    /* "original", "diffusers", "comfy" or "files"; static storage */
    const char *part[3];   /* [fili_part]: a path for fili_weights_open; NULL = not found */
    const char *tokenizer; /* the folder of spiece.model, or that file; NULL = not found */
} fili_model_paths;

/* A part that the folder does not have is NULL, not a failure: fili_model_paths_need says so.
 * E_MISMATCH: several files could be a part (names them and the option that decides), or the folder
 * has no tensor file at all; E_IO, E_LIMIT, E_NOMEM. flags: 0 or FIL_OPEN_TRUSTED. On failure *out
 * is closed. */
FIL_MUSTCHECK fil_status fili_model_paths_open(fili_model_paths *out, fil_ctx *ctx,
                                               const fili_model_choice *choice, uint32_t flags);

/* E_MISMATCH if the part was not found: what was looked for, and the option that names it. */
FIL_MUSTCHECK fil_status fili_model_paths_need(const fili_model_paths *paths, fili_part part);
FIL_MUSTCHECK fil_status fili_model_paths_need_tokenizer(const fili_model_paths *paths);

/* Says of a failure that names no file yet which file the part was asked from. */
void fili_model_paths_frame(const fili_model_paths *paths, fili_part part);

/* Idempotent. */
void fili_model_paths_close(fili_model_paths *paths);

/* The path of one part inside `dir`, copied into `arena`: dir itself may be the part's own folder
 * (transformer/) or a model's. For fili_weights_open. E_MISMATCH: there is none. */
FIL_MUSTCHECK fil_status fili_model_part_path(fil_ctx *ctx, fili_arena *arena, const char *dir,
                                              fili_part part, uint32_t flags, const char **out);

/* True if `path` is there and is a folder. */
bool fili_is_folder(fil_ctx *ctx, const char *path);

#endif
