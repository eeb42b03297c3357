/* engine/capture.h: q, k, v of chosen self-attentions of a run, written to files as they are met
 * (fil_generate_options.capture in filigree/video.h).
 *
 * A file is safetensors: `q`, `k` (after norm and rotary embedding) and `v` [N, H, D] in raster
 * order, bf16 or f32 as the run has them; metadata says which run, layer, step and pass. Tools
 * that study one call of attention read such files.
 */
#ifndef FILI_ENGINE_CAPTURE_H
#define FILI_ENGINE_CAPTURE_H

#include "engine/ranges.h"
#include "filigree/file.h"
#include "sparse/policy.h"

typedef struct fili_capture {
    fil_ctx    *ctx;
    int32_t     wanted; /* 0: nothing is captured */
    fili_ranges layers, steps, passes;
    const char *prefix;    /* of the files: "DIR/" or "OUTPUT."; borrowed */
    char       *path;      /* room for a name */
    void       *rows;      /* of some tokens on their way into a file */
    double      seconds;   /* spent so far */
    int32_t     files;     /* that will be written */
    uint64_t    bytes;     /* of memory */
    bool        made;      /* the folder, by this run */
    const char *prompt[2]; /* for the metadata; printable */
} fili_capture;

/* "LAYERS:STEPS" or "LAYERS:STEPS:PASSES": three lists (engine/ranges.h), or `all`. Without PASSES:
 * pass 0. E_ARG. */
FIL_MUSTCHECK fil_status fili_capture_parse(fili_capture *out, fil_ctx *ctx, const char *text);

bool fili_capture_wants(const fili_capture *capture, int32_t layer, int32_t step, int32_t pass);

/* Bytes of fili_capture.rows. */
size_t fili_capture_rows_bytes(int32_t heads, int32_t head_dim, fil_dtype dtype);

/* One file. E_IO, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_capture_write(const fili_capture *capture, const char *path,
                                            const fili_policy_call *call, const fil_pair *metadata,
                                            size_t n_pairs, int replace);

/* value with up to `decimals` (at most 9) digits behind a point, zeros at the end left out; in any
 * locale. 0 <= value < 10^9. */
typedef struct fili_fixed {
    char text[32];
} fili_fixed;
fili_fixed fili_fixed_text(double value, int decimals);

#endif
