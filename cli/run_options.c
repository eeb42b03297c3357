/* cli/run_options.c: the words of a run to fil_generate_options (run_options.h). */
#include "report.h"
#include "run_options.h"

const char *const cli_sampler_names[]    = {"unipc", "dpmpp", "euler", "dmd", NULL};
const char *const cli_sigma_grid_names[] = {"wan-unipc",       "wan-dpm",        "diffusers-unipc",
                                            "diffusers-euler", "comfy-discrete", NULL};

void cli_take_number(int32_t *field, int64_t value)
{
    if (value != 0) *field = (int32_t)value;
}

static int read_list(const char *option, const char *text, double *values, int32_t *n)
{
    *n = 0;
    if (text == NULL) return CLI_EXIT_DONE;
    const int found = cli_read_reals(option, text, values, CLI_LIST);
    if (found < 0) return CLI_EXIT_USAGE;
    *n = found;
    return CLI_EXIT_DONE;
}

int cli_run_take(const cli_run *v, double timesteps[CLI_LIST], double sigmas[CLI_LIST],
                 fil_generate_options *out)
{
    fil_generate_options_init(out);
    cli_take_number(&out->width, v->width);
    cli_take_number(&out->height, v->height);
    cli_take_number(&out->frames, v->frames);
    cli_take_number(&out->steps, v->steps);
    if (v->shift > 0.0) out->shift = v->shift;
    if (v->cfg > 0.0) out->guidance = v->cfg;
    out->negative  = v->negative;
    out->preset    = cli_preset_of(v->preset);
    out->sampler   = v->sampler;
    out->grid      = v->grid;
    out->seed      = (uint64_t)v->seed;
    out->precision = cli_precision_of(v->precision);
    out->timesteps = timesteps;
    out->sigmas    = sigmas;
    const int code = read_list("timesteps", v->timesteps, timesteps, &out->n_timesteps);
    return code != CLI_EXIT_DONE ? code : read_list("sigmas", v->sigmas, sigmas, &out->n_sigmas);
}
