/* filigree/model.h: what a model is and what it will take, from headers alone.
 *
 *     fil_model_info info;
 *     if (fil_model_info_get(ctx, "Wan2.1-T2V-1.3B", 0, &info) == FIL_OK)
 *         printf("%s: %llu parameters\n", info.likely, (unsigned long long)info.parameters);
 *
 * No weight is read. Files are untrusted input like everywhere else.
 */
#ifndef FILIGREE_MODEL_H
#define FILIGREE_MODEL_H

#include "filigree/file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A model folder. Texts are NUL-terminated; those without a size have static storage. */
typedef struct fil_model_info {
    const char *likely; /* "Wan2.1 T2V-1.3B", "a Wan DiT of another size", ... */
    const char *layout; /* "original", "diffusers", "comfy" or "files" */

    /* The transformer's sizes, from config.json and tensors, which have been found to agree. */
    int32_t  dim, ffn_dim, heads, layers;
    int32_t  channels;        /* of the latent */
    int32_t  text_dim;        /* of the text encoder's rows */
    uint64_t parameters;      /* of the transformer */
    uint64_t weight_bytes;    /* of its tensors in the file */
    uint64_t memory_weights;  /* bytes in memory, in bf16 */
    uint64_t memory_480p;     /* for sampling 81 frames of 832 x 480, weights included, with the
                                 context's threads */
    int32_t has_text_encoder; /* 1 if the folder has such a file; it has not been opened */
    int32_t has_vae;          /* the same; opened for memory_decode_480p */
    int32_t has_tokenizer;    /* the same */

    /* Why the transformer cannot run here: the sentence that opening it gives, "" if there is
     * nothing in the way. The sizes above are then 0. */
    char problem[FIL_ERROR_MESSAGE];

    uint64_t memory_decode_480p; /* the VAE's memory for decoding that video, which comes after the
                                    transformer's is given back; 0: no VAE that can run */
} fil_model_info;

/* Looks into the folder `path`. flags as fil_file_open. E_MISMATCH: there is no transformer in it
 * (none, or tensors of something else); E_IO, E_FORMAT, E_LIMIT: the folder or the transformer's
 * file cannot be read; E_NOMEM, E_ARG. */
FIL_API FIL_MUSTCHECK fil_status fil_model_info_get(fil_ctx *ctx, const char *path, uint32_t flags,
                                                    fil_model_info *info);

#ifdef __cplusplus
}
#endif

#endif
