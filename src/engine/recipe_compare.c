/* engine/recipe_compare.c: fil_recipe_compare: whether a video that stands is the one that options
 * ask for (filigree/video.h).
 */
#include <string.h>

#include "engine/recipe.h"
#include "engine/video_job.h"
#include "wan/dit_hash.h"

/* Options whose policy is their own copy. */
typedef struct settled {
    fil_generate_options o;
    fil_policy_options   policy;
} settled;

static fil_status settle(fil_ctx *ctx, const fil_generate_options *given, settled *s)
{
    fil_generate_options_init(&s->o);
    fil_policy_options_init(&s->policy);
    FIL_TRY(fili_take_options(ctx, "fil_generate_options", &s->o, sizeof s->o, given));
    if (s->o.policy != NULL) {
        FIL_TRY(fili_take_options(ctx, "fil_policy_options", &s->policy, sizeof s->policy,
                                  s->o.policy));
        s->o.policy = &s->policy;
    }
    return fili_options_settle(ctx, &s->o);
}

/* What the clock decided is no other wish, and measuring changes no bit. */
static void forget_course(const settled *is, settled *was)
{
    if (is->policy.dense_from == FIL_AUTO) was->policy.dense_from = FIL_AUTO;
    was->policy.measure_recall = is->policy.measure_recall;
}

static fil_status agree_latents(fil_ctx *ctx, const fil_model *model, const settled *is,
                                const settled *was)
{
    fili_arena  arena;
    const char *mine;
    const char *theirs;
    fili_arena_init(&arena, ctx, "recipes", 0);
    fil_status status = fili_recipe_text(ctx, &arena, &model->given, &is->o, &mine);
    if (status == FIL_OK) status = fili_recipe_text(ctx, &arena, &model->given, &was->o, &theirs);
    if (status == FIL_OK) status = fili_recipe_agree(ctx, mine, theirs);
    fili_arena_fini(&arena);
    return status;
}

static fil_status agree_number(fil_ctx *ctx, const char *name, int32_t is, int32_t was)
{
    if (is == was) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_MISMATCH, "it belongs to another run: %s was %d, is %d", name,
                    (int)was, (int)is);
}

static fil_status hash_of(const fil_model *model, char hex[FILI_SHA256_HEX])
{
    fili_weights   *weights = NULL;
    fili_dit_config config;
    FIL_TRY(fili_model_paths_need(&model->paths, FILI_PART_DIT));
    fil_status status = fili_weights_open(model->ctx, FILI_PART_DIT,
                                          model->paths.part[FILI_PART_DIT], model->flags, &weights);
    if (status == FIL_OK) status = fili_dit_config_detect(weights, &config);
    if (status == FIL_OK) status = fili_dit_check_weights(weights, &config);
    if (status == FIL_OK) status = fili_dit_hash(weights, &config, hex);
    if (status != FIL_OK) fili_model_paths_frame(&model->paths, FILI_PART_DIT);
    fili_weights_close(&weights);
    return status;
}

static fil_status agree_model(const fil_model *model, const char *was)
{
    char is[FILI_SHA256_HEX];
    if (was == NULL) return FIL_OK;
    FIL_TRY(hash_of(model, is));
    if (strcmp(is, was) == 0) return FIL_OK;
    return FIL_FAIL(model->ctx, FIL_E_MISMATCH,
                    "it belongs to another run: the hash of its transformer begins with %.8s, this "
                    "one's with %.8s",
                    was, is);
}

fil_status fil_recipe_compare(fil_model *model, const fil_recipe *recipe,
                              const fil_generate_options *options)
{
    settled is;
    settled was;
    FIL_CHECK(NULL, model != NULL, "fil_recipe_compare: model is NULL");
    fil_ctx *ctx = model->ctx;
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, recipe != NULL && options != NULL, "fil_recipe_compare: %s is NULL",
              recipe == NULL ? "recipe" : "options");
    FIL_TRY(settle(ctx, options, &is));
    FIL_TRY(settle(ctx, fil_recipe_generate(recipe), &was));
    forget_course(&is, &was);
    FIL_TRY(agree_latents(ctx, model, &is, &was));
    FIL_TRY(agree_number(ctx, "fps", is.o.fps, was.o.fps));
    FIL_TRY(agree_number(ctx, "crf", is.o.crf, was.o.crf));
    return agree_model(model, was.o.made_with);
}
