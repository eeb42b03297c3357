/* filigree/convert.h: model files from one format and type to another.
 *
 * What fil_file_open reads becomes one safetensors or GGUF file, by the ending of its name. Tensors
 * pass one after the other in small pieces, so that a model of any size takes a few megabytes. The
 * file appears whole or not at all.
 *
 *     const char         *in[] = {"diffusion_pytorch_model.safetensors.index.json"};
 *     fil_convert_options o;
 *     fil_convert_options_init(&o);
 *     o.inputs   = in;
 *     o.n_inputs = 1;
 *     o.output   = "wan-q8_0.gguf";
 *     o.type     = FIL_Q8_0;
 *     if (fil_convert(ctx, &o, NULL) != FIL_OK)
 *         fprintf(stderr, "%s\n", fil_ctx_error(ctx)->message);
 *
 * Which tensor becomes what. `type` is for the matrices. Small tensors on which much hangs keep
 * F32, F16 or BF16 as they have it (anything else becomes F32): vectors, that is biases and scales
 * of norms; of a transformer also the tables of modulation and the patch embedding; of a text
 * encoder the tables of the position bias. With FIL_F32 they become F32 as well. With FIL_Q8_0 the
 * matrices of a transformer's blocks, and all of a text encoder, are quantised where their rows are
 * multiples of 32; the other matrices keep their type, or become BF16 if that is an 8-bit or a
 * block type. A GGUF file has vectors and the small tensors of a transformer in F32, as the
 * published files have them, and all dimensions of the patch embedding.
 *
 * Values are rounded once, to nearest, ties to even; Q8_0 as ggml defines it. The weights of
 * fp8_scaled files are multiplied by their scales, which are left out, as are other marks of such
 * files. Widening loses nothing: a run from the converted file gives the bits of one from the
 * source where every type of the result holds the source's values. A type that the format lacks (a
 * block type in a safetensors file, F8 in a GGUF file) becomes BF16, which is what a run makes of
 * it. Integers are copied.
 */
#ifndef FILIGREE_CONVERT_H
#define FILIGREE_CONVERT_H

#include "filigree/file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Under which names tensors are written. */
typedef enum fil_names {
    /* What readers of the format look for. GGUF: of a transformer or VAE those of the original
     * repository, of a text encoder llama.cpp's. safetensors: those of the source, but of a GGUF
     * source the original ones. */
    FIL_NAMES_AUTO      = 0,
    FIL_NAMES_KEEP      = 1, /* those of the source, prefixes of single files included */
    FIL_NAMES_ORIGINAL  = 2, /* of the original repository */
    FIL_NAMES_DIFFUSERS = 3  /* of diffusers, of a text encoder transformers' */
} fil_names;

/* All pointers are borrowed for the call. */
typedef struct fil_convert_options {
    uint32_t           struct_size; /* set by fil_convert_options_init */
    uint32_t           flags;       /* 0 or FIL_OPEN_TRUSTED (file.h) */
    const char *const *inputs;      /* files; several are the shards of one model */
    int32_t            n_inputs;
    const char        *output; /* NAME.safetensors or NAME.gguf */
    fil_dtype          type;   /* FIL_F32, FIL_F16, FIL_BF16, FIL_Q8_0 (GGUF alone), or
                                  FIL_DTYPE_NONE: each tensor keeps its type */
    fil_names names;           /* FIL_NAMES_AUTO */
    int32_t   replace;         /* 1 = an existing file is replaced; 0 = that is a failure */
} fil_convert_options;

/* Types are kept, nothing is replaced, no files. Cannot fail. */
FIL_API void fil_convert_options_init(fil_convert_options *options);

/* What was written. */
typedef struct fil_convert_result {
    const char *model;     /* what the tensors look like: "Wan2.1 T2V-1.3B". Static storage */
    int64_t     tensors;   /* of the result: */
    int64_t     copied;    /* with the bytes of the source, */
    int64_t     converted; /* to another type, */
    int64_t     quantised; /* to Q8_0 */
    int64_t     left_out;  /* of the source: scales and marks of fp8, a tokenizer in a GGUF */
    uint64_t    bytes_in;  /* of the source's files */
    uint64_t    bytes_out; /* of the result */
} fil_convert_result;

/* Converts. result: may be NULL; zeroed on failure. Progress comes as the phase "convert", in
 * tensors; the cancel callback is asked between pieces.
 * E_ARG: an option, an output that is an input, Q8_0 in a safetensors file; E_MISMATCH: names of a
 * kind are wanted, or a GGUF, and the tensors are no part of a Wan model; Q8_0, and there is no
 * matrix for it; E_UNSUP: a quantisation that is not read, integers that the format lacks;
 * E_NONFINITE: a finite value that the new type cannot hold, or a value without a number under
 * Q8_0 (the message names the tensor); E_IO: cannot read or write, the output exists; E_CANCELLED;
 * E_FORMAT, E_LIMIT, E_NOMEM as fil_file_open. On failure there is no output, and a file that stood
 * in its place is untouched. */
FIL_API FIL_MUSTCHECK fil_status fil_convert(fil_ctx *ctx, const fil_convert_options *options,
                                             fil_convert_result *result);

#ifdef __cplusplus
}
#endif

#endif
