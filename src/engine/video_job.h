/* engine/video_job.h: a run of generate, decode or encode from the inside (filigree/video.h).
 *
 * A job is filled by the checks, which touch no weights, and then worked off phase by phase; each
 * phase takes its memory at its beginning and gives all of it back at its end. What the sampler
 * must remember between steps is fili_solver's plain state and the latents: nothing else in a job
 * changes while it samples, but the policy's state.
 *
 *     generate_options.c options -> job: sizes, names, outputs
 *     generate_check.c   parts of the model, tokens
 *     generate_estimate.c seconds, from a short measurement
 *     generate_memory.c  bytes and operations; what is done to fit into a limit
 *     generate_disk.c    bytes on disk
 *     generate_capture.c what is captured on the way
 *     generate_text.c    prompts -> rows            (text encoder opened and closed)
 *     text_cache.c       rows <-> files
 *     generate_many.c    several jobs over one transformer
 *     generate_run.c     rows, noise -> latents     (transformer opened and closed)
 *     preview.c          x0 on the way -> a small picture
 *     checkpoint.c       state -> file -> state
 *     recipe_*.c         options -> JSON -> options
 *     outputs.c          names of outputs, checked
 *     finished.c         outputs that stand although the run was not over
 *     decode_kept.c      latents -> frames, going on behind those that were kept
 *     frames_out.c       frames -> bytes -> video, pictures, tensor, callback
 *     frames_in.c        video, pictures, tensor -> frames
 *     latents_file.c     noise, latents, frames as tensors in files
 */
#ifndef FILI_ENGINE_VIDEO_JOB_H
#define FILI_ENGINE_VIDEO_JOB_H

#include "base/arena.h"
#include "diffusion/solver.h"
#include "engine/batch.h"
#include "engine/capture.h"
#include "engine/checkpoint.h"
#include "engine/disk_room.h"
#include "engine/frame_log.h"
#include "engine/policy_run.h"
#include "engine/preview.h"
#include "filigree/video.h"
#include "io/png_image.h"
#include "io/safetensors_writer.h"
#include "io/sha256.h"
#include "io/tokenizer.h"
#include "io/video_file.h"
#include "wan/dit.h"
#include "wan/model_paths.h"
#include "wan/umt5.h"
#include "wan/vae_tiles.h"

typedef struct fili_job fili_job;

struct fil_model {
    fil_ctx          *ctx;
    fili_model_paths  paths;
    uint32_t          flags;
    fil_model_options given; /* strings: in paths.arena */
};

/* ---- outputs -------------------------------------------------------------------------------- */

/* Where frames go. A NULL path: nobody wants it. */
typedef struct fili_outputs {
    const char      *video, *frames; /* paths */
    int32_t          fps, crf, replace;
    int              rounds; /* 1: bytes are rounded; 0: cut off */
    fil_frame_fn     fn;
    void            *user;
    fili_video_notes notes;   /* what video and pictures tell of themselves */
    int              goes_on; /* 1: numbered pictures that are there are of this run */
    const char *spool; /* frames that wait for their tiles lie beside it; NULL: temporary files */
    const char *kept;  /* what is decoded, until the outputs stand; with goes_on it counts */

    /* Filled by fili_outputs_check. */
    int32_t n;       /* frames */
    size_t  missing; /* first bytes of `video`: the folder of numbered pictures, to be made; or 0 */

    /* Filled by fili_finished_look, or false. */
    bool own_video, own_frames; /* the file is there, and this run has made it */
    bool stands;                /* all of them: nothing is left to decode */

    bool made; /* the folder, by this run: by fili_outputs_begin */
} fili_outputs;

/* E_ARG: an ending that is not known, a .png for several frames, fps, crf; E_UNSUP: no plug-in, or
 * its libav has no such encoder; E_IO: the folder of numbered pictures can neither be found nor
 * made. Says nothing of files: fili_outputs_look does. */
FIL_MUSTCHECK fil_status fili_outputs_check(fil_ctx *ctx, fili_outputs *o,
                                            const fili_video_shape *size, int32_t frames);

/* fili_output_check for a path of a run with these outputs, after fili_outputs_check: knows
 * numbered pictures and the folder that is to be made. */
FIL_MUSTCHECK fil_status fili_outputs_look(fil_ctx *ctx, const fili_outputs *o, const char *what,
                                           const char *path, int replace);

/* The run begins: makes the folder, if one is to be made. */
FIL_MUSTCHECK fil_status fili_outputs_begin(fil_ctx *ctx, fili_outputs *o);
/* Nothing came of it: removes the folder, if this run has made it and it is empty. */
void fili_outputs_failed(const fil_ctx *ctx, const fili_outputs *o);

/* True if both paths lead to one name in one folder: "x", "./x", "there/../x", and x through a link
 * to the folder do. A link that is x itself is not followed; of a folder that cannot be opened the
 * text alone decides. A NULL path equals nothing. */
bool fili_same_path(const fil_ctx *ctx, const char *a, const char *b);

/* The same for many paths, each looked at once. Borrows the path, which may be NULL. */
typedef struct fili_place {
    const char *path, *name; /* the whole, its last part */
    uint64_t    dev, inode;  /* of the folder */
    bool        has_folder;
} fili_place;

fili_place fili_place_of(const fil_ctx *ctx, const char *path);
bool       fili_same_place(const fili_place *a, const fili_place *b);

/* E_IO: `path` exists and is not to be replaced, or its folder is not there or cannot be written.
 * Leaves nothing behind. NULL is accepted. `what` names the option in messages. */
FIL_MUSTCHECK fil_status fili_output_check(fil_ctx *ctx, const char *what, const char *path,
                                           int replace);

/* E_ARG: `path`, where `what` (in the plural) are to go as tensors, has the ending of a video, a
 * picture or a JSON. NULL is accepted. */
FIL_MUSTCHECK fil_status fili_output_holds_tensors(fil_ctx *ctx, const char *what,
                                                   const char *path);

/* Before the other checks of files: which of them the run that goes on has finished before. */
void fili_finished_look(const fil_ctx *ctx, fili_outputs *o);

typedef struct fili_frames_out {
    fil_ctx            *ctx;
    const fili_outputs *outputs;
    int32_t             n, width, height;
    uint8_t            *rgb; /* one frame, and room behind it for vector code */
    fili_writer         tensor;
    fili_video_writer   video;
    bool                has_tensor, has_video;
    fili_frame_log     *log;        /* keeps each frame; NULL: none */
    int32_t             kept;       /* frames that lie in a log now */
    int32_t             kept_tiles; /* tiles of which something does */
    int32_t             pictures;   /* numbered ones that this run may have made, from 0 on */
} fili_frames_out;

typedef struct fili_frames_size {
    int32_t n, width, height;
} fili_frames_size;

/* Bytes that it takes, the video encoder included, for any number of frames. */
uint64_t fili_frames_out_bytes(const fili_outputs *o, int32_t width, int32_t height);

/* f lies still until closed. On failure *f is closed. */
FIL_MUSTCHECK fil_status fili_frames_out_open(fili_frames_out *f, fil_ctx *ctx,
                                              const fili_outputs     *outputs,
                                              const fili_frames_size *size);
/* A fili_frame_fn; user is the fili_frames_out. */
fil_status fili_frames_out_put(void *user, int32_t index, const float *rgb, int32_t h, int32_t w);
/* The frame that lies in f->rgb already, kept from an earlier run. */
FIL_MUSTCHECK fil_status fili_frames_out_put_kept(fili_frames_out *f, int32_t index);
/* Removes the numbered pictures of a run that failed: without frames that are kept it could not
 * know them for its own when it goes on. Those of a run that replaces files stay. */
void fili_frames_out_unmake(const fili_frames_out *f);
/* Makes the files appear. Closes *f whatever the result. */
FIL_MUSTCHECK fil_status fili_frames_out_finish(fili_frames_out *f);
void                     fili_frames_out_close(fili_frames_out *f); /* idempotent */
/* All is written, and nothing has its name yet: what fili_finished_look will know it by. video: the
 * file, or NULL. */
void fili_finished_mark(const fili_frames_out *f, const fili_atomic *video);

/* Value in [-1, 1] to a byte, as the two presets do it. Anything outside is cut to the range. */
uint8_t fili_frame_byte(float value, int rounds);

/* ---- inputs --------------------------------------------------------------------------------- */

/* What a file of frames is: told from the endings .png and .safetensors, else from its first bytes;
 * what is neither is taken for a video. E_IO, E_FORMAT: it cannot be opened. */
typedef enum fili_input_kind {
    FILI_INPUT_PICTURE,
    FILI_INPUT_TENSORS,
    FILI_INPUT_VIDEO
} fili_input_kind;
FIL_MUSTCHECK fil_status fili_input_kind_of(fil_ctx *ctx, const char *path, fili_input_kind *out);

/* Frames of a video file, a PNG, numbered PNGs ("frames/%05d.png", from 0 or 1 on as long as there
 * are any), or a tensor `frames` [F, H, W, 3] u8, in their order. */
typedef struct fili_frames_in {
    fil_ctx          *ctx;
    const char       *path;
    int32_t           n, width, height;
    bool              has_set, has_video;
    fili_tensors      set;
    const fili_entry *tensor;
    fili_video_reader video;
    fili_picture      picture;
    fili_numbered     numbered; /* path NULL: it is none */
    int32_t           first;    /* number of its first picture */
    uint8_t          *rgb;      /* one frame, and room behind it for vector code */
} fili_frames_in;

/* path outlives f. A video is read once to count its frames. E_MISMATCH, E_SHAPE, and what opening
 * gives; on failure *f is closed. */
FIL_MUSTCHECK fil_status fili_frames_in_open(fili_frames_in *f, fil_ctx *ctx, const char *path);
/* Frame `index` as it is in the file, borrowed until the next call; asked for one after the other.
 */
FIL_MUSTCHECK fil_status fili_frames_in_bytes(fili_frames_in *f, int32_t index,
                                              const uint8_t **rgb);
/* A fili_frame_source: frames are asked for one after the other; user is the fili_frames_in. */
fil_status fili_frames_in_get(void *user, int32_t index, float *rgb, int32_t h, int32_t w);
void       fili_frames_in_close(fili_frames_in *f); /* idempotent */

/* ---- tensors in files ----------------------------------------------------------------------- */

enum { FILI_LATENT_RANK = 4 };

/* Checks that `path` has `name` as finite f32 of four dimensions and tells them. A wanted dimension
 * of -1 takes anything. E_MISMATCH, E_SHAPE (name, expected, found), E_NONFINITE, and what opening
 * gives. Holds a few KiB at a time. */
FIL_MUSTCHECK fil_status fili_latents_look(fil_ctx *ctx, const char *path, const char *name,
                                           const int64_t want[FILI_LATENT_RANK],
                                           int64_t       found[FILI_LATENT_RANK]);
/* The same, and reads it into out, whose size the caller knows from `want`. E_NONFINITE. */
FIL_MUSTCHECK fil_status fili_latents_read(fil_ctx *ctx, const char *path, const char *name,
                                           const int64_t want[FILI_LATENT_RANK], float *out);
FIL_MUSTCHECK fil_status fili_latents_write(fil_ctx *ctx, const char *path, const char *name,
                                            const int64_t shape[FILI_LATENT_RANK],
                                            const float *data, int replace);

/* ---- decoding ------------------------------------------------------------------------------- */

/* Latents through the VAE into outputs. */
typedef struct fili_decode {
    const fili_vae_config *config;
    fil_dtype              precision;
    const int64_t         *shape; /* [FILI_LATENT_RANK] of the latents */
    const fili_outputs    *outputs;
    int32_t                tiles;             /* FIL_AUTO, 0, 1: as vae_tiles in the options */
    uint64_t               room, device_room; /* bytes that there are, for FIL_AUTO */
} fili_decode;

/* What that takes beside the latents. */
typedef struct fili_decode_cost {
    int32_t  tiled;         /* 1: in tiles */
    uint64_t bytes, device; /* of the host, of the device */
    uint64_t disk;          /* of frames that wait for their tiles */
    double   flops;         /* as the layers are defined */
} fili_decode_cost;

FIL_MUSTCHECK fil_status fili_decode_cost_of(fil_ctx *ctx, const fili_decode *what,
                                             fili_decode_cost *out);
/* E_ARG: not FIL_AUTO, 0 or 1. */
FIL_MUSTCHECK fil_status fili_tiles_check(fil_ctx *ctx, int32_t tiles);
/* Adds what decoding writes: outputs whose size is known, and what is kept until they stand. */
void fili_outputs_disk(const fili_outputs *o, const fili_frames_size *size,
                       const fili_decode_cost *cost, fili_disk_list *list);
/* Says in the log that tiles were chosen, and why. */
void fili_tell_tiles(fil_ctx *ctx, const fili_decode_cost *cost);
/* Its inside, where frames are decoded whole: latent frames whose frames were kept (outputs->kept)
 * are not decoded again. */
FIL_MUSTCHECK fil_status fili_decode_kept(fili_vae *vae, fili_weights *weights, const float *z,
                                          const int64_t    shape[FILI_LATENT_RANK],
                                          fili_frames_out *out);
/* The same in tiles. E_IO: what is kept, or without outputs->kept a temporary file, cannot be
 * written. */
FIL_MUSTCHECK fil_status fili_decode_kept_tiles(fili_vae *vae, fili_weights *weights,
                                                const float     *z,
                                                const int64_t    shape[FILI_LATENT_RANK],
                                                fili_frames_out *out);
typedef struct fili_decode_input {
    fili_weights *weights; /* of the VAE */
    const float  *z;       /* the latents */
    int32_t       tiled;   /* what the cost says */
} fili_decode_input;

/* What was kept stays, to be removed when everything stands. */
FIL_MUSTCHECK fil_status fili_decode_latents(fil_ctx *ctx, const fili_decode *what,
                                             const fili_decode_input *in, fil_video_result *result);

/* ---- the job of fil_generate ---------------------------------------------------------------- */

typedef struct fili_prompt {
    int32_t ids[FILI_TOKENIZER_MAX];
    int32_t n;      /* 0: not used */
    int32_t cut;    /* ids that were left out */
    float  *rows;   /* [n, text_dim] */
    bool    cached; /* they come from a file */
    char    key[FILI_SHA256_HEX];
} fili_prompt;

struct fili_job {
    fil_ctx             *ctx;
    const fil_model     *model;
    fili_batch          *batch;      /* of fil_generate_many; NULL: the run stands alone */
    bool                 bare;       /* nobody takes what comes of it: no output is asked for */
    bool                 reads_rows; /* a callback of its own will read rows of q, k and v */
    fil_generate_options o;
    fili_arena           arena; /* texts of the job, rows of the prompts */
    fil_plan             plan;
    fili_sampler         sampler;
    fili_sigmas          sigmas;
    fili_outputs         outputs;
    const char          *latents_path; /* NULL: not written (nothing is decoded from them) */
    int                  keeps_latents;
    int                  replace; /* what this run writes on its way may be there already */
    bool        own_recipe;       /* and the recipe, which it has written before it was stopped */
    int64_t     shape[FILI_LATENT_RANK], n; /* of the latents, and their product */
    fili_prompt prompt[2];                  /* the prompt, the negative one */
    bool        has_text_keys;              /* of both, for the cache of text encodings */

    fili_weights      *dit_weights, *vae_weights;
    fili_dit_config    dit;
    fili_dit_options   dit_options;
    fil_dtype          kept; /* of the transformer's weights that stay as they are; NONE: none do */
    int32_t            on_device; /* the transformer lies on the context's device */
    fili_vae_config    vae;
    fili_policy_run    policy;
    fil_policy_options policy_options; /* as given, whole; strings are the caller's */
    fili_capture       capture;
    fili_checkpoint    checkpoint;
    fili_preview       preview;
    fili_decode_cost   decode;

    float *latents; /* [n] */
};

/* job is zeroed but for ctx and model. Fills it; on any result fili_job_fini is to be called. */
FIL_MUSTCHECK fil_status fili_job_check(fili_job *job, const fil_generate_options *options);
void                     fili_job_fini(fili_job *job);
/* Makes a job and checks it; *out is to be closed whatever the result. batch: NULL, or what it
 * shares with others. */
FIL_MUSTCHECK fil_status fili_job_open(fil_model *model, const fil_generate_options *options,
                                       fili_batch *batch, fili_job **out);
/* From prompts, or from rows where they are set, to files. */
FIL_MUSTCHECK fil_status fili_job_run(fili_job *job, fil_video_result *result);
void                     fili_job_close(fili_job **job); /* NULL accepted */
/* Its first part: what can be judged without a model. */
FIL_MUSTCHECK fil_status fili_job_options(fili_job *job, const fil_generate_options *options);

/* What the presets leave to defaults in *o, which are whole: negative prompt, steps, shift,
 * guidance, sampler, and the grid, by name or "list". Strings are static, or those of *o. E_ARG. */
FIL_MUSTCHECK fil_status fili_options_settle(fil_ctx *ctx, fil_generate_options *o);

/* fili_finished_look, and whether the recipe is this run's. */
void fili_job_finished(fili_job *job);

bool fili_job_has_frames(const fili_job *job);

/* Whole frames or tiles; before the options are written down. */
FIL_MUSTCHECK fil_status fili_job_choose_tiles(fili_job *job);
fili_decode              fili_job_decode(const fili_job *job);
/* Bytes of each phase, against the context's limit; after everything that is opened for a run. */
FIL_MUSTCHECK fil_status fili_job_memory(fili_job *job);
/* Operations of each part. */
void fili_job_flops(fili_job *job);
/* Bytes on disk, against the room there is; after everything that decides what is written. In a
 * batch that counts (batch->disks) those of its other runs, too. */
FIL_MUSTCHECK fil_status fili_job_disk(fili_job *job);

/* Seconds that an operation of each kind takes here: linears, attention, convolutions; 0: not known
 * yet. Runs of one list share them. */
enum { FILI_RATES = 3 };
typedef struct fili_rates {
    double each[FILI_RATES];
} fili_rates;

/* plan.estimate_seconds, of what is left of the run: measures for about a second and a half what
 * *rates does not have yet. NAN stays where memory's limit has no room for that. */
FIL_MUSTCHECK fil_status fili_job_estimate(fili_job *job, fili_rates *rates);

/* What the run captures: checks, names, memory; after the policy has been hung into dit_options,
 * whose place it takes. */
FIL_MUSTCHECK fil_status fili_job_capture(fili_job *job);
/* The checks leave nothing behind; this makes the folder that the files go to. */
FIL_MUSTCHECK fil_status fili_job_capture_begin(fili_job *job);
/* Removes it, if this run has made it and it is empty. */
void fili_job_capture_failed(fili_job *job);
/* A fili_dit_choose_fn; user is the job: the policy's choice, then q, k and v if they are wanted.
 */
fil_status fili_job_choose(void *user, fili_policy_call *call, fili_policy_choice *choice);

/* Bytes that the context's limit leaves beside `used`; UINT64_MAX without a limit. */
uint64_t fili_memory_room(const fil_ctx *ctx, uint64_t used);
/* E_NOMEM unless the context's limit allows `bytes` at once. `what`: of the message. */
FIL_MUSTCHECK fil_status fili_check_budget(fil_ctx *ctx, const char *what, uint64_t bytes);
/* E_NOMEM_DEV: more than the device's memory has room for. `bytes`: all that lies there then. */
FIL_MUSTCHECK fil_status fili_check_device(fil_ctx *ctx, const char *what, uint64_t bytes);

/* Tells the caller of the run what has happened, if it wants to know. */
void fili_job_tell(const fili_job *job, fil_event_kind kind, int32_t step, const char *path);

FIL_MUSTCHECK fil_status fili_job_text(fili_job *job);
/* job->latents is the result. Seconds of reading and of the steps are added to *result. */
FIL_MUSTCHECK fil_status fili_job_sample(fili_job *job, fil_video_result *result);

/* Copies a caller's struct of `given` bytes over the defaults in `mine`; E_ARG if it is shorter
 * than its first field or longer than this version knows and not zero there. */
FIL_MUSTCHECK fil_status fili_take_options(fil_ctx *ctx, const char *what, void *mine, size_t size,
                                           const void *theirs);

double fili_seconds(fil_ctx *ctx);

#endif
