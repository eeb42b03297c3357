/* cli/run_options.h: what a run of the model is, as options: size, sampler, times of the steps. The
 * same words in generate and calibrate.
 */
#ifndef CLI_RUN_OPTIONS_H
#define CLI_RUN_OPTIONS_H

#include "video_run.h"

/* A part of a verb's values. */
typedef struct cli_run {
    const char *negative;
    int64_t     width, height, frames, steps, seed;
    double      shift, cfg;
    const char *sampler, *grid, *preset, *timesteps, *sigmas, *precision;
} cli_run;

enum { CLI_LIST = 64 }; /* times of steps that an option may list */

extern const char *const cli_sampler_names[];
extern const char *const cli_sigma_grid_names[];

/* Fills *out; strings are borrowed, and so are the two lists, which it writes. Returns 0, or an
 * exit code after one sentence. */
int cli_run_take(const cli_run *v, double timesteps[CLI_LIST], double sigmas[CLI_LIST],
                 fil_generate_options *out);

/* 0 = not given: the library's default stays. */
void cli_take_number(int32_t *field, int64_t value);

/* place(field): offset of a field of cli_run. */
#define CLI_SIZE_OPTIONS(place)                                                                    \
    CLI_NUMBER_OPTION("width", 'W', "N", "pixels, a multiple of 16; default 832", place(width), 1, \
                      16384),                                                                      \
        CLI_NUMBER_OPTION("height", 'H', "N", "pixels, a multiple of 16; default 480",             \
                          place(height), 1, 16384),                                                \
        CLI_NUMBER_OPTION("frames", 0, "N", "4n + 1 frames; default 81", place(frames), 1, 100001)

#define CLI_SAMPLER_OPTIONS(place)                                                                 \
    CLI_NUMBER_OPTION("steps", 0, "N", "steps of the sampler; default 50", place(steps), 1, 1000), \
        CLI_REAL_OPTION("shift",                                                                   \
                        "shift of the sigma grid; default: official 5, diffusers 3 up to 480p, "   \
                        "else 5",                                                                  \
                        place(shift), 100),                                                        \
        CLI_REAL_OPTION("cfg", "guidance; 1 or less: none, and half the work; default 5, dmd 1",   \
                        place(cfg), 1000),                                                         \
        CLI_CHOICE_OPTION("sampler", "NAME",                                                       \
                          "unipc, dpmpp, euler or dmd; default unipc, with a list euler",          \
                          place(sampler), cli_sampler_names),                                      \
        CLI_CHOICE_OPTION("grid", "NAME",                                                          \
                          "sigma grid: wan-unipc, wan-dpm, diffusers-unipc, diffusers-euler or "   \
                          "comfy-discrete; default: the preset's",                                 \
                          place(grid), cli_sigma_grid_names),                                      \
        CLI_TEXT_OPTION("timesteps", 0, "LIST",                                                    \
                        "times of the steps instead of a grid: 1000,937.5,833.3,625 for lightx2v", \
                        place(timesteps)),                                                         \
        CLI_TEXT_OPTION("sigmas", 0, "LIST", "the same as sigmas, 1 to 0", place(sigmas))

#endif
