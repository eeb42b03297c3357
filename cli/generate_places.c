/* cli/generate_places.c: where the files lie that a run of generate keeps beside its output, and
 * how often it is saved (generate.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "report.h"

void generate_take_savings(const generate_values *v, fil_generate_options *o)
{
    if (v->vae_tiles != 0) o->vae_tiles = 1;
    if (v->stream_weights != 0) o->stream_weights = 1;
}

int generate_take_rhythm(const char *text, fil_generate_options *o, int *never)
{
    char        *end   = NULL;
    const double n     = text != NULL && *text >= '0' && *text <= '9' ? strtod(text, &end) : -1.0;
    const bool   plain = end != NULL && end == text + strspn(text, "0123456789.");
    *never             = text != NULL && strcmp(text, "never") == 0;
    if (text == NULL || *never) return CLI_EXIT_DONE;
    o->checkpoint_steps   = FIL_AUTO; /* a recipe's own does not stay beside it */
    o->checkpoint_seconds = FIL_AUTO;
    if (plain && strcmp(end, "s") == 0 && n <= 1e9)
        o->checkpoint_seconds = n;
    else if (plain && *end == '\0' && n >= 1.0 && n <= 1000.0 && floor(n) == n)
        o->checkpoint_steps = (int32_t)n;
    else
        return cli_usage("option --checkpoint-every: expected steps (5), seconds (60s) or never, "
                         "found '%.40s'",
                         text);
    return CLI_EXIT_DONE;
}

static int name_beside(char place[CLI_PLACE], const char *output, const char *ending)
{
    if (cli_beside(place, output, ending)) return CLI_EXIT_DONE;
    return cli_usage("generate: the name of the output is too long");
}

void generate_take_text_cache(const generate_values *v, fil_generate_options *o,
                              generate_places *at)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int         n    = -1;
    o->text_cache    = v->text_cache;
    if (v->text_cache != NULL) {
        if (strcmp(v->text_cache, "off") == 0) o->text_cache = NULL;
        return;
    }
    if (base != NULL && base[0] == '/')
        n = snprintf(at->text_cache, sizeof at->text_cache, "%s/filigree/text", base);
    else if (home != NULL && home[0] == '/')
        n = snprintf(at->text_cache, sizeof at->text_cache, "%s/.cache/filigree/text", home);
    if (n > 0 && (size_t)n < sizeof at->text_cache) o->text_cache = at->text_cache;
}

int generate_take_sidecar(fil_generate_options *o, generate_places *at)
{
    if (o->video == NULL) return CLI_EXIT_DONE;
    const int code = name_beside(at->recipe, o->video, ".json");
    o->save_recipe = at->recipe;
    return code;
}

int generate_take_preview(const generate_values *v, fil_generate_options *o, generate_places *at)
{
    const char *beside = cli_main_output(o);
    if (v->preview == 0 || beside == NULL) return CLI_EXIT_DONE;
    o->preview       = at->preview;
    o->preview_steps = (int32_t)v->preview;
    return name_beside(at->preview, beside, ".preview.png");
}

int generate_take_checkpoint(const generate_values *v, fil_generate_options *o, generate_places *at)
{
    const char *beside = cli_main_output(o);
    int         never  = 0;
    int         code   = generate_take_rhythm(v->checkpoint_every, o, &never);
    if (code == CLI_EXIT_DONE) code = generate_take_sidecar(o, at);
    if (code == CLI_EXIT_DONE) code = generate_take_preview(v, o, at);
    if (code != CLI_EXIT_DONE || never || beside == NULL) return code;
    o->checkpoint = at->checkpoint;
    return name_beside(at->checkpoint, beside, ".resume.safetensors");
}
