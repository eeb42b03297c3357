/* sparse/policy_preset.c: one word instead of several numbers (filigree/policy.h).
 *
 * A small model (up to 16 heads, Wan2.1 1.3B) has less to spare than a large one (14B): its users
 * report flicker at densities that the large one bears, and the authors of SVG advise more density.
 * The densities are those at which published training-free methods are run, for the whole run; they
 * have not been tuned by ours.
 */
#include <string.h>

#include "sparse/policy_inside.h"

typedef struct preset {
    const char *name;
    double      small, large; /* density */
} preset;

static const preset presets[] = {
    {"quality", 0.60, 0.45}, {"balanced", 0.45, 0.33}, {"fast", 0.33, 0.25}};

fil_status fili_policy_preset(fil_ctx *ctx, const fili_policy_setup *setup,
                              fil_policy_options *options)
{
    if (options->preset == NULL) return FIL_OK;
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (strcmp(presets[i].name, options->preset) != 0) continue;
        if (options->name == NULL) options->name = "auto";
        if (options->density == (double)FIL_AUTO && options->fidelity == (double)FIL_AUTO)
            options->density = setup->heads <= 16 ? presets[i].small : presets[i].large;
        return FIL_OK;
    }
    return FIL_FAIL(ctx, FIL_E_ARG, "preset: expected quality, balanced or fast, found '%.60s'",
                    options->preset);
}
