/* filigree/video.h: videos from text with a Wan2.1 checkpoint.
 *
 * Four calls: open a model, generate, decode, encode. Everything that can be wrong with a request
 * is found before any work starts; everything that a run will take is known before it, too.
 *
 *     #include <filigree/video.h>
 *
 *     fil_model_options    where;
 *     fil_generate_options what;
 *     fil_model           *model = NULL;
 *
 *     fil_model_options_init(&where);
 *     where.dir = "Wan2.1-T2V-1.3B";
 *     fil_generate_options_init(&what);
 *     what.prompt = "A red fox in the snow.";
 *     what.video  = "fox.mp4";
 *     if (fil_model_open(ctx, &where, &model) != FIL_OK ||
 *         fil_generate(model, &what, NULL) != FIL_OK)
 *         fprintf(stderr, "%s\n", fil_ctx_error(ctx)->message);
 *     fil_model_close(&model);
 *
 * The way of the data: prompt, token ids, text rows (then the text encoder is gone), noise, one or
 * two passes of the transformer per step, latents, saved, frames from the VAE one by one, file.
 * Latents are on disk before the first frame is decoded, so that a failure there costs nothing:
 * fil_decode goes on from them.
 *
 * Progress comes as the phases "encode" (layers of the text encoder, once per prompt), "load"
 * (layers of the transformer), "sample" (steps, their parts being the layers of all passes) and
 * "decode" (latent frames, of all tiles); the cancel callback is asked within each of them. Same
 * seed, same bits, for any number of threads.
 */
#ifndef FILIGREE_VIDEO_H
#define FILIGREE_VIDEO_H

#include "filigree/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a model -------------------------------------------------------------------------------- */

/* The files that a model consists of: transformer, text encoder, VAE, tokenizer. Opaque. It holds
 * paths, no weights: those are read by the call that needs them and given back by it. */
typedef struct fil_model fil_model;

/* Where the parts lie. The folder is one as its owners publish it: the original layout of Wan-AI,
 * the diffusers layout, or ComfyUI's single files. Each part can be named by itself, and then the
 * folder is not asked for it (and may be NULL if all that are needed are named). */
typedef struct fil_model_options {
    uint32_t    struct_size; /* set by fil_model_options_init */
    uint32_t    flags;       /* 0 or FIL_OPEN_TRUSTED (file.h): bf16 weights are used in place */
    const char *dir;         /* model folder */
    const char *dit;         /* transformer: file, index or folder; NULL = from dir */
    const char *t5;          /* text encoder, the same */
    const char *vae;         /* VAE, the same */
    const char *tokenizer;   /* spiece.model or its folder; NULL = from dir */
} fil_model_options;

/* All NULL. Cannot fail. */
FIL_API void fil_model_options_init(fil_model_options *options);

/* Finds the parts; which of them must be there is asked by the calls below. Strings are copied. The
 * model borrows ctx. E_IO: no such folder; E_MISMATCH: no tensor file in it, or several files could
 * be a part (the message names the option that decides); E_LIMIT, E_NOMEM, E_ARG. */
FIL_API FIL_MUSTCHECK fil_status fil_model_open(fil_ctx *ctx, const fil_model_options *options,
                                                fil_model **out);

/* Closes and sets *model to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_model_close(fil_model **model);

/* "original", "diffusers", "comfy" or "files". Static storage. */
FIL_API const char *fil_model_layout(const fil_model *model);

/* ---- generate ------------------------------------------------------------------------------- */

/* Whose run is repeated. A preset fixes what options leave open:
 *
 *                      official                          diffusers
 *   sigma grid         wan-unipc (dpmpp: wan-dpm)        diffusers-unipc (euler: diffusers-euler)
 *   shift              5                                 3 up to 480 x 832 pixels, else 5
 *   negative prompt    the official Chinese one          none (the empty prompt)
 *   bytes of frames    cut off (one frame: rounded)      rounded
 *
 * The authors recommend shift 8 and guidance 6 for the 1.3B model. */
typedef enum fil_preset { FIL_PRESET_OFFICIAL = 0, FIL_PRESET_DIFFUSERS = 1 } fil_preset;

/* A frame that is ready. rgb: [height, width, 3] u8, borrowed for the call. Anything but 0 ends the
 * run with E_CANCELLED. */
typedef int (*fil_frame_fn)(void *user, int32_t index, const uint8_t *rgb, int32_t width,
                            int32_t height);

/* Something that happened on the way, beside the progress of filigree.h. */
typedef enum fil_event_kind {
    FIL_EVENT_SAVED   = 0, /* the run, as it was after `step` steps, in the checkpoint `path` */
    FIL_EVENT_PREVIEW = 1, /* a preview of what it was after `step` steps, in `path` */
    FIL_EVENT_DONE    = 2, /* everything stands: the video is `path`, `result` says how it went */
    FIL_EVENT_PLANNED = 3, /* the first one: what the run will be, in `plan`, with estimate_seconds
                              (`step` steps are done before); of several videos it goes to the
                              function of the first: seconds of all, the rest of the one that takes
                              most memory */
    FIL_EVENT_FAILED = 4   /* of several videos: nothing comes of this one (`path` was to be its
                              video),   `error` says why; the others are still made */
} fil_event_kind;

typedef struct fil_event {
    fil_event_kind kind; /* later versions may tell of further kinds */
    int32_t        step, n_steps;
    const char    *path; /* borrowed for the call; NULL where there is none */

    const struct fil_video_result *result; /* of FIL_EVENT_DONE, else NULL */
    const struct fil_plan         *plan;   /* of FIL_EVENT_PLANNED, else NULL */
    const fil_error               *error;  /* of FIL_EVENT_FAILED, else NULL */
} fil_event;

/* *event is borrowed for the call. */
typedef void (*fil_event_fn)(void *user, const fil_event *event);

/* One video. Paths are relative to the working directory. All pointers are borrowed for the call.
 */
typedef struct fil_generate_options {
    uint32_t    struct_size; /* set by fil_generate_options_init */
    const char *prompt;      /* UTF-8; cut at 512 tokens, with a warning in the log */
    const char *negative;    /* NULL = the preset's; unused if guidance is off */
    int32_t     width;       /* pixels, a multiple of 16; 832 */
    int32_t     height;      /* 480 */
    int32_t     frames;      /* 4n + 1; 81 */
    int32_t     steps;       /* 1 to 1000; FIL_AUTO = 50, or what a list below or dmd says */
    double      shift;       /* of the sigma grid, above 0; FIL_AUTO = the preset's */
    double      guidance; /* 1 or less: one pass per step, no negative prompt; FIL_AUTO = 5, dmd: 1
                           */
    fil_preset  preset;   /* FIL_PRESET_OFFICIAL */
    const char *sampler;  /* "unipc", "dpmpp", "euler", "dmd"; NULL = unipc, with a list: euler */
    const char *grid;     /* "wan-unipc", "wan-dpm", "diffusers-unipc", "diffusers-euler",
                             "comfy-discrete"; NULL = the preset's */

    /* For few-step checkpoints: the times (1000 to 0, falling) or the sigmas (1 to 0) of the steps,
     * instead of a grid. lightx2v: 1000, 937.5, 833.3, 625 with euler; FastWan: 1000, 757, 522 with
     * dmd (its default). At most one of the two. */
    const double *timesteps;
    int32_t       n_timesteps;
    const double *sigmas;
    int32_t       n_sigmas;

    uint64_t    seed;      /* of torch's CPU stream; 0 */
    const char *noise;     /* a safetensors file with `noise` [C, T, H, W] f32, instead */
    fil_dtype   precision; /* FIL_BF16, or FIL_F32 for comparisons; FIL_BF16 */
    const char *mask;      /* a mask file for the self-attention; NULL = as policy says */

    const fil_policy_options *policy; /* of the self-attention; NULL = dense */

    /* What the ending says; NULL = none:
     *   .mp4   H.264, colours of four pixels united (4:2:0); the default of most
     *   .webm  VP9, the same
     *   .webp  an animated picture that begins again at its end
     *   .y4m   4:2:0 without compression, for other encoders: about 1.5 bytes a pixel
     *   .png   one frame; with a number in the name, as printf writes it ("frames/%05d.png"), a
     *          file for each frame, from 0 on, each written in one step. The folder is made.
     * .mp4, .webm and .png carry the settings of the run (ADR 0013); equal runs give equal files.
     */
    const char *video;
    int32_t     fps;          /* 16 */
    int32_t     crf;          /* 0 (lossless) to 51; .webm: to 63, .webp: to 100; 10 */
    const char *save_noise;   /* safetensors files of the noise, [C, T, H, W] f32, */
    const char *save_latents; /* the normalised latents, [C, T, H, W] f32, */
    const char *save_frames;  /* and the frames, [F, H, W, 3] u8; the name of a video, a picture
                                 or a .json is refused. NULL = not wanted */
    int32_t      replace;     /* 1 = files that exist are replaced; 0 = that is a failure */
    fil_frame_fn frame;       /* given every frame; NULL = nobody wants them */
    void        *frame_user;  /* for frame */

    /* q, k (after norm and rotary embedding) and v of self-attentions on their way, for studies:
     * "LAYERS:STEPS" or "LAYERS:STEPS:PASSES", each a list such as 0,5,10-12, or "all"; without
     * PASSES those of the prompt (pass 0; 1 is the negative prompt). A safetensors file for each,
     * [N, H, D] in raster order, in the precision of the run. */
    const char *capture;    /* NULL = nothing */
    const char *capture_to; /* a folder, made if it is not there: layer003_step010_pass0.safetensors
                               in it; NULL = beside the output: OUTPUT.layer003_... */

    /* A run of hours is not lost: its state goes to one file, written in one step, from time to
     * time, when it is cancelled (then as it was when the running step began), and before frames
     * are decoded. Frames go to `checkpoint`.frames as they are decoded, so that those that were
     * done are not decoded again; in tiles, those that wait to be blended (spool_bytes of the
     * plan). Both files are removed when everything stands. */
    const char *checkpoint;       /* that file; NULL = none */
    int32_t     checkpoint_steps; /* every so many steps; FIL_AUTO = by the clock alone */
    int32_t     preview_steps;    /* of `preview` below: every so many steps, and after the last
                                     one; 0 = never */
    double checkpoint_seconds;    /* at the first step after so many seconds; FIL_AUTO = 60, or
                                     where steps are given never */
    const char *save_recipe;      /* JSON that fil_recipe_open reads: all options, what auto's clock
                                     decided included, and under `result` how it went, written
                                     when everything else stands; NULL = not wanted */

    /* Such a file, to go on from there with the bits of a run that was never interrupted. The other
     * options are those of the first call (fil_recipe_open has them), but for outputs and
     * checkpoint_*. It is read by the version, and on the kind of machine, that wrote it, and is
     * for files of your own. May be `checkpoint`. NULL = begin with noise. */
    const char *resume;

    /* Small pictures of where the run is going: up to eight frames of the present estimate of its
     * result, evenly over the video, two pixels for eight of the video. Each is written in one step
     * and replaces the one before, and is given to the context's preview callback. Colours come
     * from a linear map that is fitted to the VAE: they are close, not exact. The video is the
     * same with and without; a preview that fails is told once in the log, and is no failure. */
    const char *preview; /* a .png; it is never asked whether it exists. NULL = none */

    fil_event_fn event;      /* told what happens on the way; NULL = nobody wants to know */
    void        *event_user; /* for event */

    /* Rows that the text encoder gave are kept in this folder and found again, by prompt,
     * tokenizer, encoder, precision and machine: the bits of the run are the same, and where all
     * its prompts are found neither tokenizer nor encoder is opened. The folder is made if it is
     * not there; of more than 256 MiB the oldest files are removed. What goes wrong with it is told
     * in the log and is no failure. No recipe has it. NULL = no such folder. */
    const char *text_cache;

    /* What saves memory. FIL_AUTO: only where the context's limit asks for it, in this order, and
     * the log and the plan say so; 1: always; 0: never. Precision is never lowered by a limit. */
    int32_t vae_tiles;      /* frames larger than 256 x 256 pixels are decoded in tiles that overlap
                               and are blended, as diffusers does it: other frames than whole ones,
                               close to them; they wait on disk, in `checkpoint`.frames, else in
                               a temporary file beside the output */
    int32_t stream_weights; /* layers of the transformer are read in each pass, with the memory of
                               one; the same bits */

    /* Of a run that is repeated: the hash of the transformer that it was made with, 64 hexadecimal
     * digits, which fil_recipe_open finds in its file. If this one is another, a warning in the log
     * says so. A recipe has it beside its options, that of its own run. NULL = not compared. */
    const char *made_with;
} fil_generate_options;

/* Fills in the defaults named above. Cannot fail. */
FIL_API void fil_generate_options_init(fil_generate_options *options);

/* What a run will be, filled by fil_generate_check. Bytes are those of the context's memory at the
 * peak of each phase, weights and what the context holds already included; files that are mapped
 * (FIL_OPEN_TRUSTED) do not count. */
typedef struct fil_plan {
    const char *sampler, *grid; /* names; the grid is "list" where a list was given. Static */
    int32_t     steps;
    int32_t     passes; /* of the transformer per step: 2 with guidance */
    double      shift, guidance;
    int32_t     prompt_tokens, negative_tokens; /* the closing one included; 0 = not used */
    int32_t     channels, latent_frames, latent_height, latent_width;
    int64_t     tokens;      /* of the self-attention */
    double      flops;       /* of the whole run, by part below */
    double      density;     /* of self-attention over the whole run, as the schedule asks for it;
                                     NAN: as the masks of a file say */
    char     attention[512]; /* the policy: what it does, and with which choices */
    uint64_t policy_bytes;   /* what the policy holds; in sample_bytes */
    uint64_t text_bytes;     /* encoding the prompts */
    uint64_t sample_bytes;   /* the steps */
    uint64_t decode_bytes;   /* frames from latents, and the video encoder */
    uint64_t peak_bytes;     /* the largest of the three */
    int32_t  captures;       /* files of captured q, k, v, */
    uint64_t capture_bytes;  /* and what they hold, on disk */
    uint64_t kept_bytes;     /* decoded frames on disk, beside the checkpoint, until they stand;
                                0 with tiles, of which spool_bytes tells */
    int32_t text_cached;     /* prompts whose rows lie in text_cache; all of them: tokenizer and
                                text encoder are not opened */

    /* sample_bytes by part */
    uint64_t weight_bytes;         /* the transformer's weights, packed or converted */
    uint64_t activation_bytes;     /* its rows, keys of the prompts, latents, solver, handles */
    uint64_t attention_bytes;      /* workspace of the kernels, and policy_bytes */
    uint64_t weights_mapped_bytes; /* weights used where they lie in the file: in no other figure */
    int32_t  streamed;             /* 1: weights are read layer by layer in each pass */
    int32_t  vae_tiles;            /* 1: frames are decoded in tiles */
    uint64_t spool_bytes;          /* on disk while that goes on, and if it is stopped */

    /* Rows of the kernels that most of the work goes to; conv: NULL if nothing is decoded. Static.
     */
    const char *attention_kernel, *linear_kernel, *conv_kernel;

    /* Operations by part, products alone: attention at the density above, or dense (and
     * cross-attention); the VAE as its layers are defined, the overlap of tiles included. */
    double text_flops, attention_flops, linear_flops, vae_flops;

    double estimate_seconds; /* of what is left of the run, by fil_generate_estimate; else NAN */

    int32_t blocks_kept; /* 1: the transformer's matrices stay in the blocks of their GGUF */

    /* Files of the run whose size is known before: all but compressed videos and pictures, and a
     * few KiB. Where nothing of them is there yet. */
    uint64_t disk_bytes;  /* most at one time: outputs, captures, the checkpoint (beside its former
                             self while it is saved), latents, kept_bytes, spool_bytes */
    uint64_t stays_bytes; /* and what of them stays */

    uint64_t device_bytes; /* of the context's device, where transformer or VAE lie there: the most
                              at one time, which is in no other figure; else 0 */
} fil_plan;

/* Checks everything that fil_generate checks and tells what it would do; reads headers, no weights.
 * E_ARG: an option (the message names it, what was expected and what was found); E_MISMATCH: parts
 * that do not belong together, a part that is missing; E_SHAPE: a mask or noise of another size;
 * E_IO: an output that exists or cannot be written, or a disk with too little room, for sure, for
 * disk_bytes without kept_bytes (of file systems that compress or lie elsewhere nothing is asked);
 * E_NOMEM: more than the context's limit; E_NOMEM_DEV: more than the device has; E_UNSUP: no
 * plug-in for video files; and what opening the files may give. */
FIL_API FIL_MUSTCHECK fil_status fil_generate_check(fil_model                  *model,
                                                    const fil_generate_options *options,
                                                    fil_plan                   *plan);

/* The same, and measures for about a second and a half how fast this machine does the work: seconds
 * that encoding, steps and decoding take, without reading files and choosing masks. Of a run that
 * is resumed the steps that are left count, and all frames. NAN where the context's limit has no
 * room for the measurement. E_CANCELLED. */
FIL_API FIL_MUSTCHECK fil_status fil_generate_estimate(fil_model                  *model,
                                                       const fil_generate_options *options,
                                                       fil_plan                   *plan);

/* How a run went. Seconds by the clock. */
typedef struct fil_video_result {
    int32_t  frames, width, height; /* pixels */
    double   text_seconds;          /* prompts, reading the text encoder included */
    double   load_seconds;          /* reading the transformer */
    double   sample_seconds;        /* steps */
    double   decode_seconds;        /* VAE and files; of fil_encode: all */
    uint64_t peak_bytes;            /* of the context's memory, on the host */

    /* Self-attention, of fil_generate. */
    double  attention_seconds; /* kernels */
    double  choose_seconds;    /* the policy */
    double  density;           /* counted: kept pairs over all pairs of the whole run */
    double  sparse_density;    /* of the calls that were not dense; 1 if all were */
    int64_t calls, dense_calls, refreshes;
    double  recall, recall_min; /* where they were to be measured, else NAN */
    double  recall_bound;       /* least lower bound of a head's recall; 1 where none is known */
    int64_t dense_from;         /* to repeat what the clock decided (filigree/policy.h) */

    /* Of fil_generate, also where it failed. */
    int32_t resumed_step;         /* steps that were done when it began */
    int32_t saved_step;           /* steps done in the checkpoint; -1: there is none */
    int32_t saves, save_failures; /* of the checkpoint; each failure is in the log */

    int32_t kept_frames; /* decoded, where it failed, and kept on disk; fil_decode too */
    int32_t kept_tiles;  /* the same in tiles: of how many something is kept, all or a part */
} fil_video_result;

/* Renders the video. result: may be NULL. Without save_latents the latents lie beside the video, as
 * VIDEO.latents.safetensors, until it is finished. Status as fil_generate_check; and E_NONFINITE: a
 * NaN or infinity in a prompt's rows, the latents or a frame; E_CANCELLED; E_IO. On failure no file
 * is left half written. A checkpoint that cannot be written is told in the log and in *result, and
 * is no failure. */
FIL_API FIL_MUSTCHECK fil_status fil_generate(fil_model *model, const fil_generate_options *options,
                                              fil_video_result *result);

/* ---- several videos ------------------------------------------------------------------------- */

/* n videos, one after the other, each with the bits that fil_generate gives it, in one load of the
 * model: all prompts go through the text encoder first, and the transformer stays open from one
 * video to the next where size, guidance and policy ask for it alike. It also stays while frames
 * are decoded, unless the context's limit has no room for both. Everything that can be wrong with
 * any of the videos is found before any work. options[n]: structs of one size, with the same
 * precision, and no two write to one file. n: 1 to 10000. done: how many stand; last: how the one
 * went that was worked on last; both may be NULL, and each run tells FIL_EVENT_DONE. text_seconds
 * of each is 0.
 *
 * Status as fil_generate. What goes wrong with one video alone once work has begun (E_NONFINITE;
 * E_FORMAT, E_MISMATCH, E_SHAPE, E_LIMIT: of a file that only it reads) is told as
 * FIL_EVENT_FAILED, the others are made, and the call fails at its end with the first of those
 * failures. Every other failure the next video would meet, too: it ends the call at once.
 * Room on disk is asked for all of them together.
 *
 * Progress also comes as the phase "videos", around those of each. */
FIL_API FIL_MUSTCHECK fil_status fil_generate_many(fil_model                         *model,
                                                   const fil_generate_options *const *options,
                                                   int32_t n, int32_t *done,
                                                   fil_video_result *last);

/* The same checks; the plan is that of the video that takes most memory. The second measures as
 * fil_generate_estimate does: estimate_seconds are those of all videos. */
FIL_API FIL_MUSTCHECK fil_status fil_generate_many_check(fil_model                         *model,
                                                         const fil_generate_options *const *options,
                                                         int32_t n, fil_plan *plan);
FIL_API FIL_MUSTCHECK fil_status fil_generate_many_estimate(
    fil_model *model, const fil_generate_options *const *options, int32_t n, fil_plan *plan);

/* A text file of prompts: UTF-8, one a line, blanks at its ends left out; lines that are empty or
 * begin with # do not count. At most 1,000 in 1 MiB. Opaque. */
typedef struct fil_prompts fil_prompts;

/* E_IO; E_FORMAT: none in it, or a NUL character; E_LIMIT; E_NOMEM. Borrows ctx. */
FIL_API FIL_MUSTCHECK fil_status fil_prompts_open(fil_ctx *ctx, const char *path,
                                                  fil_prompts **out);
/* Closes and sets *prompts to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_prompts_close(fil_prompts **prompts);
/* How many; 0 for NULL. */
FIL_API int32_t fil_prompts_count(const fil_prompts *prompts);
/* Borrowed; NULL beyond the last one. */
FIL_API const char *fil_prompts_text(const fil_prompts *prompts, int32_t index);

/* ---- recipes -------------------------------------------------------------------------------- */

/* The options of a run, from a JSON recipe, from the file that a run has saved to be resumed, or
 * from a .mp4, .webm or .png that it made: such a file does not tell where the model and outputs
 * lie, and of noise, mask and topology names alone. Opaque. */
typedef struct fil_recipe fil_recipe;

/* E_IO; E_MISMATCH: the file carries none; E_FORMAT: damaged, or a value of another kind; E_UNSUP:
 * an option that this version does not know, or a video and no plug-in; E_NOMEM. The recipe borrows
 * ctx. */
FIL_API FIL_MUSTCHECK fil_status fil_recipe_open(fil_ctx *ctx, const char *path, fil_recipe **out);

/* Closes and sets *recipe to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_recipe_close(fil_recipe **recipe);

/* Borrowed from the recipe; copy the struct to change something. checkpoint, resume, preview,
 * text_cache and callbacks are NULL. NULL for NULL. */
FIL_API const fil_model_options    *fil_recipe_model(const fil_recipe *recipe);
FIL_API const fil_generate_options *fil_recipe_generate(const fil_recipe *recipe);
/* 1: it is from the file that a run has saved, which `resume` of the options takes; 0: from JSON or
 * a video, or NULL. */
FIL_API int fil_recipe_is_saved(const fil_recipe *recipe);
/* Whether options ask for the video that the recipe tells of. E_MISMATCH: they do not; names the
 * first setting that differs, with what it was and is. What is left to a default counts as what it
 * comes out as. Where files go, captures, how often a run is saved and what saves memory may
 * differ, the transformer may not. E_ARG, and what opening the transformer gives; headers of it are
 * read, and a few weights. */
FIL_API FIL_MUSTCHECK fil_status fil_recipe_compare(fil_model *model, const fil_recipe *recipe,
                                                    const fil_generate_options *options);

/* ---- decode --------------------------------------------------------------------------------- */

/* Latents to a video: the end of a run alone. Needs the VAE only. */
typedef struct fil_decode_options {
    uint32_t     struct_size; /* set by fil_decode_options_init */
    const char  *latents;     /* a safetensors file with `latents` [C, T, H, W] f32, normalised */
    fil_preset   preset;      /* how bytes are made of values: see above */
    fil_dtype    precision;   /* FIL_BF16 or FIL_F32; FIL_BF16 */
    const char  *video;       /* the outputs and what belongs to them: as in */
    int32_t      fps, crf;    /* fil_generate_options */
    const char  *save_frames;
    int32_t      replace;
    fil_frame_fn frame;
    void        *frame_user;
    const char  *kept; /* what is decoded is kept in this file until the outputs stand, frames or
                          in tiles those that wait to be blended; NULL = nowhere */
    int32_t resume;    /* 1 = go on behind what is there, if it is of these latents, with the bits
                          of a decode that was never stopped */
    int32_t vae_tiles; /* as there */
} fil_decode_options;

/* Defaults as above. Cannot fail. */
FIL_API void fil_decode_options_init(fil_decode_options *options);

/* result: may be NULL. Status as fil_generate. */
FIL_API FIL_MUSTCHECK fil_status fil_decode(fil_model *model, const fil_decode_options *options,
                                            fil_video_result *result);

/* ---- encode --------------------------------------------------------------------------------- */

/* A video to latents. Needs the VAE only. */
typedef struct fil_encode_options {
    uint32_t    struct_size; /* set by fil_encode_options_init */
    const char *input;       /* a video file, a .png, or a safetensors file with `frames`
                                [F, H, W, 3] u8. Sides are multiples of 8; of a video the first
                                4n + 1 frames are taken */
    int32_t     frames;      /* take that many, 4n + 1; FIL_AUTO = all that fit */
    fil_dtype   precision;   /* FIL_BF16 or FIL_F32; FIL_BF16 */
    const char *latents; /* the file to write: `latents` [C, T, H, W] f32, normalised; no name of
                            a video, a picture or a .json */
    int32_t replace;     /* 1 = an existing file is replaced */
} fil_encode_options;

/* Defaults as above. Cannot fail. */
FIL_API void fil_encode_options_init(fil_encode_options *options);

/* result: may be NULL. Status as fil_generate. */
FIL_API FIL_MUSTCHECK fil_status fil_encode(fil_model *model, const fil_encode_options *options,
                                            fil_video_result *result);

#ifdef __cplusplus
}
#endif

#endif
