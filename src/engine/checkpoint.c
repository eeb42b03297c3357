/* engine/checkpoint.c: saving a run and going on from it (checkpoint.h). */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "diffusion/noise.h"
#include "engine/checkpoint.h"
#include "engine/recipe.h"
#include "engine/video_job.h"
#include "wan/dit_hash.h"

#define FORMAT  "filigree.resume.1"
#define MAKER   "made_by" /* version and instruction set, that bits depend on */
#define SECONDS 60.0      /* between two saves, where nothing else is asked for */

enum { LATENTS, SOLVER, SOLVER_STATE, POLICY, PROMPT, NEGATIVE, MOST_SLOTS };
enum { PAIRS = 5 };

/* ---- what is in the file -------------------------------------------------------------------- */

typedef struct content {
    fil_tensor_desc desc[MOST_SLOTS];
    void           *data[MOST_SLOTS];
    size_t          bytes[MOST_SLOTS];
    int             n;
} content;

static void add(content *c, const fil_tensor_desc *desc, void *data)
{
    size_t bytes = fil_dtype_bits(desc->dtype) / 8;
    for (uint32_t d = 0; d < desc->rank; d++)
        bytes *= (size_t)desc->shape[d];
    c->desc[c->n]  = *desc;
    c->data[c->n]  = data;
    c->bytes[c->n] = bytes;
    c->n++;
}

static void add_bytes(content *c, const char *name, void *data, size_t bytes)
{
    const fil_tensor_desc desc = {
        .name = name, .dtype = FIL_U8, .rank = 1, .shape = {(int64_t)bytes}};
    add(c, &desc, data);
}

/* The state of the solver is read or written through `state`. */
static content content_of(const fili_job *job, const fili_solver *solver, fili_solver_state *state)
{
    static const char *const prompt_name[] = {"prompt", "negative"};
    const fili_checkpoint   *k             = &job->checkpoint;
    content                  c             = {.data = {NULL}, .n = 0};
    fil_tensor_desc latents = {.name = "latents", .dtype = FIL_F32, .rank = FILI_LATENT_RANK};
    memcpy(latents.shape, job->shape, sizeof job->shape);
    add(&c, &latents, job->latents);
    const fil_tensor_desc arrays = {
        .name = "solver", .dtype = FIL_F32, .rank = 2, .shape = {FILI_SOLVER_ARRAYS, job->n}};
    add(&c, &arrays, solver != NULL ? solver->arrays : NULL);
    add_bytes(&c, "solver_state", state, sizeof *state);
    add_bytes(&c, "policy", k->policy, k->policy_bytes);
    for (int p = 0; p < 2 && p < job->plan.passes; p++) {
        const fil_tensor_desc rows = {.name  = prompt_name[p],
                                      .dtype = FIL_F32,
                                      .rank  = 2,
                                      .shape = {job->prompt[p].n, job->dit.text_dim}};
        add(&c, &rows, job->prompt[p].rows);
    }
    return c;
}

static void hash_of(const content *c, char hex[FILI_SHA256_HEX])
{
    fili_sha256 h;
    fili_sha256_begin(&h);
    for (int i = 0; i < c->n; i++)
        fili_sha256_add(&h, c->data[i], c->bytes[i]);
    fili_sha256_end(&h, hex);
}

/* A version and its kernels. */
typedef struct maker {
    char text[64];
} maker;

static maker maker_of(const fil_ctx *ctx)
{
    maker m;
    snprintf(m.text, sizeof m.text, "filigree %s, %s", FIL_VERSION_STRING, fili_isa_name(ctx->isa));
    return m;
}

/* ---- saving --------------------------------------------------------------------------------- */

static fil_status put(fili_writer *w, const content *c)
{
    for (int i = 0; i < c->n; i++)
        FIL_TRY(fili_writer_put(w, (size_t)i, c->data[i], c->bytes[i]));
    return FIL_OK;
}

static fil_status write_file(const fili_job *job, const fili_solver *solver)
{
    const fili_checkpoint *k     = &job->checkpoint;
    fili_solver_state      state = solver->state;
    const content          c     = content_of(job, solver, &state);
    const maker            made  = maker_of(job->ctx);
    char                   hex[FILI_SHA256_HEX];
    fili_writer            w;
    hash_of(&c, hex);
    const fil_pair          pairs[PAIRS] = {{.key = "format", .value = FORMAT},
                                            {.key = FILI_RECIPE_KEY, .value = k->recipe},
                                            {.key = FILI_RECIPE_DIT, .value = k->dit},
                                            {.key = MAKER, .value = made.text},
                                            {.key = "sha256", .value = hex}};
    const fili_writer_input input        = {
               .tensors = c.desc, .n_tensors = (size_t)c.n, .metadata = pairs, .n_pairs = PAIRS};
    FIL_TRY(fili_writer_open(&w, job->ctx, k->path, &input, 1));
    const fil_status status = put(&w, &c);
    if (status == FIL_OK) return fili_writer_finish(&w);
    fili_writer_close(&w);
    return status;
}

/* The failure of a save is not one of the run: what the context says of it goes to the log, and
 * what it said before comes back. */
static void save(fili_job *job, const fili_solver *solver)
{
    fil_ctx           *ctx    = job->ctx;
    fili_checkpoint   *k      = &job->checkpoint;
    const fil_error    before = ctx->error;
    const fil_progress unit   = ctx->unit;
    fili_ctx_enter(ctx);
    if (write_file(job, solver) == FIL_OK) {
        k->saved_step = solver->state.step;
        k->saves++;
        fili_job_tell(job, FIL_EVENT_SAVED, k->saved_step, k->path);
    } else {
        k->failures++;
        fili_log(ctx, FIL_LOG_WARNING, "the run could not be saved at step %d: %s; %s",
                 (int)solver->state.step, ctx->error.message,
                 k->saved_step >= 0 ? "the former state stands" : "it goes on unsaved");
    }
    ctx->error  = before;
    ctx->unit   = unit;
    k->saved_at = fili_seconds(ctx);
}

static bool is_due(const fili_job *job, int32_t step)
{
    const fil_generate_options *o = &job->o;
    const fili_checkpoint      *k = &job->checkpoint;
    if (step == k->first) return false; /* nothing has been computed yet */
    if (o->checkpoint_steps > 0 && (step - k->first) % o->checkpoint_steps == 0) return true;
    const double each = o->checkpoint_seconds == (double)FIL_AUTO ? SECONDS : o->checkpoint_seconds;
    const bool   by_clock = o->checkpoint_steps <= 0 || o->checkpoint_seconds != (double)FIL_AUTO;
    return by_clock && fili_seconds(job->ctx) - k->saved_at >= each;
}

void fili_checkpoint_step(fili_job *job, const fili_solver *solver)
{
    fili_checkpoint *k = &job->checkpoint;
    if (k->path == NULL) return;
    fili_policy_state_save(job->policy.policy, k->policy);
    if (is_due(job, solver->state.step)) save(job, solver);
}

void fili_checkpoint_stop(fili_job *job, const fili_solver *solver)
{
    fili_checkpoint *k = &job->checkpoint;
    if (k->path == NULL || solver->arrays == NULL || k->policy == NULL) return;
    if (solver->state.step == job->plan.steps)
        fili_policy_state_save(job->policy.policy, k->policy);
    if (k->saved_step != solver->state.step) save(job, solver);
}

void fili_checkpoint_remove(const fili_job *job)
{
    const fili_os *os = job->ctx->os;
    if (job->checkpoint.path != NULL && job->checkpoint.saved_step >= 0)
        (void)os->unlinkat(os->self, FILI_CWD, job->checkpoint.path);
}

/* ---- going on ------------------------------------------------------------------------------- */

/* "" where there is none. */
static const char *text_of(const fili_tensors *set, const char *key)
{
    const char *value = fili_tensors_metadata(set, key);
    return value != NULL ? value : "";
}

static fil_status check_metadata(const fili_job *job, const fili_tensors *set)
{
    const char *format = text_of(set, "format");
    if (strcmp(format, FORMAT) != 0)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "it is no saved run that this version reads: format is '%.40s', expected "
                        "%s",
                        format, FORMAT);
    FIL_TRY(fili_recipe_agree(job->ctx, job->checkpoint.recipe, text_of(set, FILI_RECIPE_KEY)));
    if (strcmp(text_of(set, FILI_RECIPE_DIT), job->checkpoint.dit) != 0)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "it was saved with another transformer: its hash begins with %.8s, this "
                        "one's with %.8s",
                        text_of(set, FILI_RECIPE_DIT), job->checkpoint.dit);
    return FIL_OK;
}

static bool is_as_described(const fili_entry *e, const fil_tensor_desc *t)
{
    if (e == NULL || e->dtype != t->dtype || e->rank != t->rank) return false;
    for (uint32_t d = 0; d < t->rank; d++)
        if (e->shape[d] != t->shape[d]) return false;
    return true;
}

static fil_status check_tensors(const fili_job *job, const fili_tensors *set, const content *c)
{
    for (int i = 0; i < c->n; i++)
        if (!is_as_described(fili_tensors_find(set, c->desc[i].name), &c->desc[i]))
            return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                            "its tensor '%s' is missing, or not of the size that this run has",
                            c->desc[i].name);
    return FIL_OK;
}

/* The run goes on all the same: a machine may be gone for ever. */
static void tell_other_maker(const fili_job *job, const fili_tensors *set)
{
    const char *was = text_of(set, MAKER);
    const maker is  = maker_of(job->ctx);
    if (strcmp(was, is.text) != 0)
        fili_log(job->ctx, FIL_LOG_WARNING,
                 "the run was saved by %s, and goes on with %s: the bits will not be those of an "
                 "uninterrupted run",
                 was[0] != '\0' ? fili_quote(was, strlen(was)).text : "another version", is.text);
}

static fil_status read_all(const fili_job *job, const fili_tensors *set, const content *c)
{
    char hex[FILI_SHA256_HEX];
    tell_other_maker(job, set);
    for (int i = 0; i < c->n; i++) {
        const fili_entry *e = fili_tensors_find(set, c->desc[i].name);
        FIL_TRY(fili_tensors_read(set, e, 0, c->data[i], c->bytes[i]));
    }
    hash_of(c, hex);
    if (strcmp(hex, text_of(set, "sha256")) != 0)
        return FIL_FAIL(job->ctx, FIL_E_FORMAT,
                        "it is damaged: the SHA-256 of its data begins with %.8s, expected %.8s",
                        hex, text_of(set, "sha256"));
    return fili_check_finite(job->ctx, "latents", job->latents, job->n);
}

/* How far it is, without reading the rest. */
static fil_status read_state(const fili_job *job, const fili_tensors *set, const content *c)
{
    const fili_entry *e = fili_tensors_find(set, c->desc[SOLVER_STATE].name);
    (void)job;
    return fili_tensors_read(set, e, 0, c->data[SOLVER_STATE], c->bytes[SOLVER_STATE]);
}

typedef fil_status (*use_fn)(const fili_job *job, const fili_tensors *set, const content *c);

/* Opens the file to be resumed, checks it against the run, and hands it to `use`. */
static fil_status open_saved(const fili_job *job, const content *c, use_fn use)
{
    const char  *path = job->checkpoint.resume;
    fili_tensors set;
    fili_tensors_init(&set, job->ctx, 0);
    fil_status status = fili_tensors_open(&set, path);
    if (status == FIL_OK) status = check_metadata(job, &set);
    if (status == FIL_OK) status = check_tensors(job, &set, c);
    if (status == FIL_OK) status = use(job, &set, c);
    fili_tensors_fini(&set);
    if (status != FIL_OK)
        fili_error_frame(job->ctx, "resuming from %s", fili_quote(path, strlen(path)).text);
    return status;
}

/* Of the prompts, that the text encoder fills where nothing is resumed. */
static fil_status take_rows(fili_job *job)
{
    for (int p = 0; p < job->plan.passes; p++) {
        const size_t bytes = (size_t)job->prompt[p].n * (size_t)job->dit.text_dim * sizeof(float);
        void        *rows;
        FIL_TRY(fili_arena_alloc(&job->arena, bytes, &rows));
        job->prompt[p].rows = rows;
    }
    return FIL_OK;
}

bool fili_checkpoint_is_at(const fili_job *job, int32_t step)
{
    fil_ctx          *ctx    = job->ctx;
    const fil_error   before = ctx->error;
    fili_solver_state state;
    content           c = {.n = 0};
    fili_tensors      set;
    add_bytes(&c, "solver_state", &state, sizeof state);
    fili_tensors_init(&set, ctx, 0);
    bool told = fili_tensors_open(&set, job->o.resume) == FIL_OK &&
                strcmp(text_of(&set, "format"), FORMAT) == 0;
    if (told) {
        const fili_entry *e = fili_tensors_find(&set, c.desc[0].name);
        told                = is_as_described(e, &c.desc[0]) &&
               fili_tensors_read(&set, e, 0, &state, sizeof state) == FIL_OK;
    }
    fili_tensors_fini(&set);
    ctx->error = before;
    return told && state.step == step;
}

static fil_status load(fili_job *job, fili_solver *solver)
{
    fili_solver_state state = {.step = 0};
    const content     c     = content_of(job, solver, &state);
    FIL_TRY(open_saved(job, &c, read_all));
    FIL_TRY(fili_solver_restore(solver, &state, solver->arrays));
    job->checkpoint.first = state.step;
    return fili_policy_state_load(job->policy.policy, job->checkpoint.policy,
                                  job->checkpoint.policy_bytes);
}

/* ---- the beginning -------------------------------------------------------------------------- */

static fil_status check_rhythm(const fili_job *job)
{
    const fil_generate_options *o = &job->o;
    FIL_CHECK(job->ctx, o->checkpoint_steps == FIL_AUTO || o->checkpoint_steps >= 1,
              "checkpoint steps: expected 1 or more, found %d", (int)o->checkpoint_steps);
    FIL_CHECK(job->ctx,
              o->checkpoint_seconds == (double)FIL_AUTO ||
                  (o->checkpoint_seconds >= 0.0 && o->checkpoint_seconds <= 1e9),
              "checkpoint seconds: expected 0 to 1e9, found %g", o->checkpoint_seconds);
    return FIL_OK;
}

static fil_status take_recipe(fili_job *job)
{
    fil_generate_options o = job->o;
    if (o.policy != NULL) o.policy = &job->policy_options;
    return fili_recipe_text(job->ctx, &job->arena, &job->model->given, &o, &job->checkpoint.recipe);
}

/* A run that goes on is refused instead. */
static void tell_other_model(const fili_job *job)
{
    const char *was = job->o.made_with;
    const char *is  = job->checkpoint.dit;
    if (was != NULL && job->o.resume == NULL && strcmp(was, is) != 0)
        fili_log(job->ctx, FIL_LOG_WARNING,
                 "the run that is repeated was made with another transformer (its hash begins with "
                 "%.8s, this one's with %.8s): the bits will differ",
                 fili_quote(was, strlen(was)).text, is);
}

fil_status fili_checkpoint_check(fili_job *job)
{
    fili_checkpoint  *k     = &job->checkpoint;
    fili_solver_state state = {.step = 0};
    *k = (fili_checkpoint){.path = job->o.checkpoint, .resume = job->o.resume, .saved_step = -1};
    const bool saves = k->path != NULL || k->resume != NULL;
    if (!saves && job->o.save_recipe == NULL && job->o.video == NULL && job->o.made_with == NULL)
        return FIL_OK;
    FIL_TRY(take_recipe(job));
    FIL_TRY(fili_dit_hash(job->dit_weights, &job->dit, k->dit));
    tell_other_model(job);
    if (!saves) return FIL_OK;
    FIL_TRY(check_rhythm(job));
    k->policy_bytes = fili_policy_state_bytes(job->policy.policy);
    job->plan.policy_bytes += k->policy_bytes;
    const content c = content_of(job, NULL, &state);
    for (int i = 0; i < c.n; i++)
        k->bytes += c.bytes[i];
    if (k->resume == NULL) return FIL_OK;
    FIL_TRY(open_saved(job, &c, read_state));
    if (state.step > 0 && state.step <= job->plan.steps) k->first = state.step; /* else damaged */
    return FIL_OK;
}

fil_status fili_checkpoint_begin(fili_job *job, fili_solver *solver)
{
    fili_checkpoint *k = &job->checkpoint;
    if (k->path == NULL && k->resume == NULL) return FIL_OK;
    FIL_TRY(fili_arena_alloc(&job->arena, k->policy_bytes, &k->policy));
    k->saved_at = fili_seconds(job->ctx);
    if (k->resume == NULL) return FIL_OK;
    FIL_TRY(take_rows(job));
    FIL_TRY(load(job, solver));
    if (k->path != NULL && fili_same_path(job->ctx, k->path, k->resume)) k->saved_step = k->first;
    return FIL_OK;
}
