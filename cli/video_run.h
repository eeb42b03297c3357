/* cli/video_run.h: what generate, decode and encode have in common: where the model is, names of
 * choices, and how a run is told.
 */
#ifndef CLI_VIDEO_RUN_H
#define CLI_VIDEO_RUN_H

#include <stdbool.h>

#include "filigree/video.h"
#include "verb.h"

/* Options that say where the model is; a part of each verb's values. */
typedef struct cli_model {
    const char *dir, *dit, *t5, *vae, *tokenizer;
    int         trusted;
} cli_model;

extern const char *const cli_preset_names[];    /* official, diffusers */
extern const char *const cli_precision_names[]; /* bf16, f32 */

fil_preset cli_preset_of(const char *name);    /* NULL: official */
fil_dtype  cli_precision_of(const char *name); /* NULL: bf16 */

/* Opens the context and the model. Returns 0 or an exit code, after the report. */
int cli_open_model(cli_common *common, const cli_model *where, const char *verb, fil_ctx **ctx,
                   fil_model **model);

/* A model as a saved run had it, but for what `where` gives. A recipe may come from anybody: with
 * trust 0 its --trusted does not count, and a note says so. 0 or an exit code, after the report. */
int cli_open_saved_model(fil_ctx *ctx, const cli_model *where, const fil_model_options *saved,
                         int trust, fil_model **model);

enum { CLI_PLACE = 4096 }; /* bytes of a name that is made of another */

/* What a run is for: other files lie beside it. NULL: it has no such output. */
const char *cli_main_output(const fil_generate_options *o);
/* "fox.mp4" and ".json": "fox.mp4.json". false: it is too long. */
bool cli_beside(char place[CLI_PLACE], const char *output, const char *ending);

/* One line on stderr, or with json one object of type `verb` on stdout. */
void cli_tell_run(const cli_call *call, int json, const char *path, const fil_video_result *r);

/* A note, if any of its saves has failed. what: "the run", or its output. */
void cli_tell_saves(const char *what, int32_t saves, int32_t failures);

#define CLI_TEXT_OPTION(option, short_form, value, text, place)                                    \
    {                                                                                              \
        .name = (option), .letter = (short_form), .kind = CLI_TEXT, .arg = (value),                \
        .help = (text), .at = (place)                                                              \
    }
#define CLI_FLAG_OPTION(option, text, place)                                                       \
    {                                                                                              \
        .name = (option), .kind = CLI_FLAG, .help = (text), .at = (place)                          \
    }
#define CLI_NUMBER_OPTION(option, short_form, value, text, place, low, high)                       \
    {                                                                                              \
        .name = (option), .letter = (short_form), .kind = CLI_NUMBER, .arg = (value),              \
        .help = (text), .at = (place), .min = (low), .max = (high)                                 \
    }
#define CLI_REAL_OPTION(option, text, place, high)                                                 \
    {                                                                                              \
        .name = (option), .kind = CLI_REAL, .arg = "X", .help = (text), .at = (place),             \
        .max = (high)                                                                              \
    }
#define CLI_CHOICE_OPTION(option, value, text, place, names)                                       \
    {                                                                                              \
        .name = (option), .kind = CLI_CHOICE, .arg = (value), .help = (text), .at = (place),       \
        .choices = (names)                                                                         \
    }

/* Where frames go. at(field): offset of a field of the verb's values: output, fps, crf, vae_tiles.
 */
#define CLI_OUTPUT_OPTION(at)                                                                      \
    CLI_TEXT_OPTION("output", 'o', "FILE",                                                         \
                    "write the video: FILE.mp4, .webm, .webp or .y4m; FILE.png for one frame, "    \
                    "DIR/%05d.png for a picture each",                                             \
                    at(output))
#define CLI_FILE_OPTIONS(at)                                                                       \
    CLI_NUMBER_OPTION("fps", 0, "N", "frames per second of the file; default 16", at(fps), 1,      \
                      1000),                                                                       \
        CLI_NUMBER_OPTION("crf", 0, "N",                                                           \
                          "quality of the file, 1 (best) to 51, of .webm to 63, of .webp to 100; " \
                          "default 10",                                                            \
                          at(crf), 1, 100)
#define CLI_TILES_OPTION(at)                                                                       \
    CLI_FLAG_OPTION("vae-tiles",                                                                   \
                    "decode frames in tiles of 256 x 256 pixels that overlap: less memory, other " \
                    "frames; default: only where --max-memory or --max-vram asks for it",          \
                    at(vae_tiles))

#endif
