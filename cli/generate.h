/* cli/generate.h: what the parts of `filigree generate` share: the values of its options, and the
 * names of files that lie beside an output.
 *
 *     cmd_generate.c     the options, and the run
 *     generate_places.c  where checkpoint, recipe, preview and text cache lie
 *     generate_again.c   --resume and --recipe
 *     many.c             --prompt-file
 */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "attn_options.h"
#include "run_options.h"

typedef struct generate_values {
    cli_model   model;
    cli_run     run;
    const char *prompt, *prompt_file, *output;
    int64_t     fps, crf;
    const char *noise, *save_noise, *save_latents, *save_frames;
    const char *capture, *capture_to;
    const char *checkpoint_every, *resume, *recipe;
    int64_t     preview;
    const char *text_cache;
    int         vae_tiles, stream_weights;
    int         plan, force, json, goes_on;
    cli_attn    attn;
    int         measure_recall;
} generate_values;

/* Storage of names that options point to. */
typedef struct generate_places {
    char checkpoint[CLI_PLACE], recipe[CLI_PLACE], preview[CLI_PLACE], text_cache[CLI_PLACE];
} generate_places;

/* ---- generate_places.c; int: 0, or an exit code after one sentence -------------------------- */

/* Not asked for: where the limit of memory asks for it. */
void generate_take_savings(const generate_values *v, fil_generate_options *o);
/* --checkpoint-every: "5": steps; "60s": seconds; "never". */
int generate_take_rhythm(const char *text, fil_generate_options *o, int *never);
/* Where programs keep what they can make anew (XDG base directories); without a home, nowhere. */
void generate_take_text_cache(const generate_values *v, fil_generate_options *o,
                              generate_places *at);
/* A video has its recipe beside it. */
int generate_take_sidecar(fil_generate_options *o, generate_places *at);
int generate_take_preview(const generate_values *v, fil_generate_options *o, generate_places *at);
/* The rhythm, and all that lies beside an output. */
int generate_take_checkpoint(const generate_values *v, fil_generate_options *o,
                             generate_places *at);

/* ---- generate_again.c ----------------------------------------------------------------------- */

/* --resume or --recipe is given. Returns the exit code. */
int generate_run_again(const cli_call *call);

/* ---- cmd_generate.c ------------------------------------------------------------------------- */

/* Events go to stdout if they are asked for; before a context is opened. */
void generate_tell_events(const cli_call *call);
/* --plan, or the run. Returns the exit code. */
int generate_plan_or_run(const cli_call *call, fil_ctx *ctx, fil_model *model,
                         const fil_generate_options *o);

#endif
