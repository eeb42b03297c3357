/* filigree/calibrate.h: the table that the policy `west` looks its masks up in.
 *
 * For each layer, step and head the blocks of attention that matter hardly depend on the prompt
 * (ScalingAttention, arXiv 2606.23019). So a few prompts are rendered with dense attention, the
 * exact mass of every block is measured on the way, and one byte per block is kept: the smallest
 * share of the mass at which the block is needed, over all prompts. Masks of every density come
 * from that one file, and budgets that say how dense each of them is to be (FAST).
 *
 *     #include <filigree/calibrate.h>
 *
 *     fil_generate_options  run;
 *     fil_calibrate_options how;
 *     fil_calibrate_plan    plan;
 *
 *     fil_generate_options_init(&run);   // sizes, steps, sampler as in the videos to come
 *     fil_calibrate_options_init(&how);
 *     how.run         = &run;
 *     how.prompt_file = "prompts.txt";
 *     how.output      = "topology.safetensors";
 *     if (fil_calibrate_check(model, &how, &plan) == FIL_OK) ...  // memory, bytes of the file
 *     if (fil_calibrate(model, &how, NULL) != FIL_OK) ...
 *
 * A table belongs to its model, sampler, steps and shift, and is refused elsewhere; on another grid
 * it is transferred. After each prompt the state is on disk, as OUTPUT.state: the same call goes on
 * from there. The result is the same with and without an interruption, and for any number of
 * threads.
 *
 * Progress comes as the phase "calibrate" (prompts, the profile being one more) around those of
 * fil_generate.
 */
#ifndef FILIGREE_CALIBRATE_H
#define FILIGREE_CALIBRATE_H

#include "filigree/video.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- options -------------------------------------------------------------------------------- */

/* What a prompt changed. A share is of all blocks of all maps. */
typedef struct fil_calibrate_prompt {
    int32_t index, prompts; /* counted from 0 */
    int32_t resumed;        /* 1: done by an earlier call, told again */
    double  seconds;        /* 0 if resumed */
    double  added; /* mask bits that this prompt added, mean over all levels; NAN for the mean */
    double  kept;  /* share of the blocks that a mask of 90 % of the mass keeps now; NAN alike */
} fil_calibrate_prompt;

typedef void (*fil_calibrate_prompt_fn)(void *user, const fil_calibrate_prompt *prompt);

/* Pointers are borrowed for the call. */
typedef struct fil_calibrate_options {
    uint32_t struct_size; /* set by fil_calibrate_options_init */

    /* How videos are rendered: sizes, steps, sampler, guidance, negative prompt, precision, seed
     * (of the first prompt; the i-th has seed + i). Its prompt, outputs, noise, mask and policy
     * must be NULL. */
    const fil_generate_options *run;

    const char *prompt_file; /* UTF-8 text, one prompt a line (fil_prompts_open) */
    const char *output;      /* the topology file */
    int32_t     replace;     /* 1 = an existing output is replaced */

    /* The maps. */
    const char *order;       /* of the tokens; NULL = "hilbert-cubes 4x4x4" */
    int32_t     block;       /* tokens: 64 or 128; FIL_AUTO = 64, above 24 heads 128 */
    int32_t     step_groups; /* steps share maps in so many groups; FIL_AUTO = 10 or the steps */
    int32_t     split;       /* 1: maps for each pass of guidance; 0: the passes are united */
    const char *map;         /* "union" of the prompts' masks, or of their "mean" mass; NULL = union
                              */
    int32_t levels;          /* 1/levels, 2/levels, ... 1; up to 128; 64 */

    /* Profiles and budgets. */
    int32_t     rows;     /* sampled for the profile; 16 */
    const char *fidelity; /* 1 - Hellinger distance with the kept mass renormalised, "renorm", or
                             "raw"; NULL = renorm */
    const char *budgets;  /* "fast", "uniform", "error"; NULL = fast */
    double      density;  /* of the whole run; FIL_AUTO = 0.5, or what the fidelity takes */
    double      wanted_fidelity; /* instead; FIL_AUTO = not given */

    fil_calibrate_prompt_fn prompt_done; /* told after each prompt; NULL = nobody wants it */
    void                   *user;        /* for prompt_done */
} fil_calibrate_options;

/* Fills in the defaults named above. Cannot fail. */
FIL_API void fil_calibrate_options_init(fil_calibrate_options *options);

/* ---- the plan ------------------------------------------------------------------------------- */

typedef struct fil_calibrate_plan {
    int32_t  prompts, done; /* done: by an earlier call, from OUTPUT.state */
    int32_t  layers, steps, passes, heads;
    int32_t  groups, map_passes, levels, rows;
    int32_t  block, blocks; /* tokens of a block, and their number */
    int64_t  tokens;
    fil_plan run;           /* of one prompt */
    double   flops;         /* of all that is left to do, the measuring included */
    uint64_t file_bytes;    /* of the topology */
    uint64_t state_bytes;   /* of OUTPUT.state */
    uint64_t measure_bytes; /* memory of maps, masses and profiles */
    uint64_t peak_bytes;    /* of the context's memory, rendering included */
} fil_calibrate_plan;

/* Checks everything that fil_calibrate checks and tells what it would do; reads headers, no
 * weights but a sample for the model's hash. Status as fil_generate_check; E_MISMATCH: OUTPUT.state
 * was begun by another command (the message names what differs). */
FIL_API FIL_MUSTCHECK fil_status fil_calibrate_check(fil_model                   *model,
                                                     const fil_calibrate_options *options,
                                                     fil_calibrate_plan          *plan);

/* ---- the work ------------------------------------------------------------------------------- */

typedef struct fil_calibrate_result {
    int32_t  prompts, resumed; /* resumed: not rendered in this call */
    double   seconds;
    double   density, fidelity;  /* of the budgets, over the whole run */
    int32_t  reachable;          /* 0: no budgets are as sparse as was asked for */
    double   beta, gamma, omega; /* of fast budgets, else 0 */
    uint64_t file_bytes, peak_bytes;
} fil_calibrate_result;

/* result: may be NULL. Status as fil_calibrate_check; E_NONFINITE; E_CANCELLED: the prompts that
 * were finished are kept; E_IO. */
FIL_API FIL_MUSTCHECK fil_status fil_calibrate(fil_model                   *model,
                                               const fil_calibrate_options *options,
                                               fil_calibrate_result        *result);

#ifdef __cplusplus
}
#endif

#endif
