/* engine/generate_many.c: fil_generate_many: several videos in one load of the model
 * (filigree/video.h).
 *
 * Each run is a job of its own, checked, worked off and closed as fil_generate does it. Four times
 * over all of them: check (the first that needs the tokenizer cuts all prompts); check again with
 * what is then known of memory; read the prompts, with one text encoder; run, with one transformer.
 * Rows of prompts are what is kept of a job from one time to the next. Once work has begun, what
 * goes wrong with one video alone is told and leaves the others be.
 */
#include <string.h>

#include "base/mem.h"
#include "engine/video_job.h"

enum {
    MOST  = 10000, /* videos of a call */
    PATHS = 7      /* that a run writes */
};

/* What is kept of a run between its checks and its work. */
typedef struct item {
    fil_generate_options o; /* whole, as this version has them */
    fili_prompt          prompt[2];
    fili_place           place[PATHS];
    bool                 failed;
} item;

typedef enum estimate { NO_ESTIMATE, IF_HEARD, ESTIMATE } estimate;

typedef struct many {
    fil_model                         *model;
    fil_ctx                           *ctx;
    const fil_generate_options *const *options;
    int32_t                            n;
    item                              *item; /* [n] */
    fili_batch                         batch;
    fili_arena                         arena; /* rows of the prompts */
    int32_t                            text_dim;
    fil_plan                           plan; /* of the run that takes most; seconds of all */
    estimate                           estimate;
    fili_rates                         rates;
    fil_error                          failure; /* the first one that did not end the list */
    uint64_t                           base;    /* bytes that the context held before */
} many;

/* ---- the transformer ------------------------------------------------------------------------ */

void fili_batch_close(fili_batch *batch)
{
    fili_text_close(&batch->text);
    fili_dit_close(&batch->dit);
    fili_weights_close(&batch->weights);
}

fili_dit *fili_batch_take(fili_batch *batch, const fili_dit_options *options)
{
    if (batch->dit != NULL && !fili_dit_reuse(batch->dit, options)) fili_batch_close(batch);
    return batch->dit;
}

/* ---- checks --------------------------------------------------------------------------------- */

static fil_status in_video(const many *m, int32_t i, fil_status status)
{
    if (status != FIL_OK) fili_error_frame(m->ctx, "video %d of %d", (int)i + 1, (int)m->n);
    return status;
}

/* Each job looks at its own files; here those of different runs. */
static fil_status check_paths(const many *m, int32_t i)
{
    const fil_generate_options *o = &m->item[i].o;
    const char *const path[PATHS] = {o->video,       o->save_noise, o->save_latents, o->save_frames,
                                     o->save_recipe, o->checkpoint, o->preview};
    fili_place       *mine        = m->item[i].place;
    for (int a = 0; a < PATHS; a++)
        mine[a] = fili_place_of(m->ctx, path[a]);
    for (int32_t k = 0; k < i; k++)
        for (int a = 0; a < PATHS; a++)
            for (int b = 0; b < PATHS; b++)
                FIL_CHECK(m->ctx, !fili_same_place(&mine[a], &m->item[k].place[b]),
                          "two videos are to go to one file, '%.160s'", path[a]);
    return FIL_OK;
}

static void keep(many *m, int32_t i, const fili_job *job)
{
    m->item[i].o = job->o;
    m->text_dim  = job->dit.text_dim;
    memcpy(m->item[i].prompt, job->prompt, sizeof job->prompt);
    for (int p = 0; p < job->plan.passes; p++) {
        const int32_t rows        = job->prompt[p].n;
        m->item[i].prompt[p].rows = NULL; /* those of a cache end with the job */
        if (rows > m->batch.context_rows) m->batch.context_rows = rows;
        m->batch.rows_bytes += (uint64_t)rows * (uint64_t)m->text_dim * sizeof(float);
    }
}

/* With the batch, whose memory is not the job's. */
static fil_status open_job(many *m, int32_t i, fili_job **job)
{
    m->batch.held  = m->ctx->memory.used - m->base;
    m->batch.known = m->item[i].prompt;
    return fili_job_open(m->model, m->options[i], &m->batch, job);
}

static void cut_text(fili_tokenizer *t, const char *text, fili_prompt *p)
{
    if (fili_tokenizer_ids(t, text, p->ids, &p->n, &p->cut) != FIL_OK) p->n = 0;
}

/* In one opening of the tokenizer. What is wrong with a run is told when it is checked. */
static void cut_all(void *user, fili_tokenizer *t)
{
    many           *m      = user;
    const fil_error before = m->ctx->error;
    for (int32_t i = 0; i < m->n; i++) {
        fil_generate_options o;
        fili_prompt         *p = m->item[i].prompt;
        if (m->options[i] == NULL || p[0].n > 0) continue;
        fil_generate_options_init(&o);
        if (fili_take_options(m->ctx, "fil_generate_options", &o, sizeof o, m->options[i]) !=
                FIL_OK ||
            fili_options_settle(m->ctx, &o) != FIL_OK)
            continue;
        cut_text(t, o.prompt, &p[0]);
        cut_text(t, o.negative, &p[1]);
    }
    m->ctx->error = before;
}

static fil_status check_one(many *m, int32_t i)
{
    fili_job *job = NULL;
    FIL_CHECK(m->ctx, m->options[i] != NULL, "fil_generate_many: options[%d] is NULL", (int)i);
    fil_status status = open_job(m, i, &job);
    if (status == FIL_OK) keep(m, i, job);
    fili_job_close(&job);
    if (status == FIL_OK && m->item[i].o.precision != m->item[0].o.precision)
        status = FIL_FAIL(m->ctx, FIL_E_ARG, "precision: expected one for all videos");
    return status;
}

/* Only who listens waits for the measurement. */
static bool wants_estimate(const many *m)
{
    return m->estimate == ESTIMATE || (m->estimate == IF_HEARD && m->item[0].o.event != NULL);
}

static fil_status check_each_again(many *m)
{
    double seconds = 0.0;
    for (int32_t i = 0; i < m->n; i++) {
        fili_job  *job    = NULL;
        fil_status status = open_job(m, i, &job);
        if (status == FIL_OK && wants_estimate(m)) status = fili_job_estimate(job, &m->rates);
        if (status == FIL_OK && (i == 0 || job->plan.peak_bytes > m->plan.peak_bytes))
            m->plan = job->plan;
        if (status == FIL_OK) seconds += job->plan.estimate_seconds;
        fili_job_close(&job);
        if (status != FIL_OK) return in_video(m, i, status);
    }
    m->plan.estimate_seconds = seconds;
    return FIL_OK;
}

/* Now that the memory of all is known; and what each leaves on disk is not there for the next. */
static fil_status check_again(many *m)
{
    fili_disks disks        = {.n = 0};
    m->batch.disks          = &disks;
    const fil_status status = check_each_again(m);
    m->batch.disks          = NULL;
    return status;
}

static fil_status check_all(many *m)
{
    for (int32_t i = 0; i < m->n; i++) {
        fil_status status = check_one(m, i);
        if (status == FIL_OK) status = check_paths(m, i);
        if (status != FIL_OK) return in_video(m, i, status);
    }
    m->batch.keeps    = true;
    fil_status status = check_again(m);
    if (status != FIL_E_NOMEM && status != FIL_E_NOMEM_DEV) return status;
    m->batch.keeps = false; /* then it is read anew for each video */
    fili_ctx_enter(m->ctx);
    return check_again(m);
}

/* ---- failures ------------------------------------------------------------------------------- */

/* Of the numbers of one video, or of a file that is its own. Anything else (memory, disk, device,
 * being told to stop) the next one would meet, too, and perhaps after hours. */
static bool is_of_one(fil_status status)
{
    return status == FIL_E_NONFINITE || status == FIL_E_SHAPE || status == FIL_E_FORMAT ||
           status == FIL_E_MISMATCH || status == FIL_E_LIMIT;
}

static void tell_failed(const many *m, int32_t i)
{
    const fil_generate_options *o = &m->item[i].o;
    const fil_event e = {.kind = FIL_EVENT_FAILED, .path = o->video, .error = &m->ctx->error};
    if (o->event != NULL) o->event(o->event_user, &e);
}

/* The status if it ends the list. The next video begins with nothing that this one has touched. */
static fil_status settle(many *m, int32_t i, fil_status status)
{
    if (status == FIL_OK || !is_of_one(status)) return in_video(m, i, status);
    (void)in_video(m, i, status);
    tell_failed(m, i);
    if (m->failure.status == FIL_OK) m->failure = m->ctx->error;
    m->item[i].failed = true;
    fili_batch_close(&m->batch);
    fili_ctx_enter(m->ctx);
    return FIL_OK;
}

/* ---- prompts -------------------------------------------------------------------------------- */

/* Rows of the same text that an earlier run has. */
static float *find_rows(const many *m, int32_t before, const char *text)
{
    for (int32_t i = 0; i < before; i++) {
        const item *t = &m->item[i];
        if (t->prompt[0].rows != NULL && strcmp(t->o.prompt, text) == 0) return t->prompt[0].rows;
        if (t->prompt[1].rows != NULL && strcmp(t->o.negative, text) == 0) return t->prompt[1].rows;
    }
    return NULL;
}

/* The job's rows end with it: a copy, where they are no earlier run's. */
static fil_status keep_rows(many *m, int32_t i, const fili_job *job, float *const earlier[2])
{
    for (int k = 0; k < 2; k++) {
        fili_prompt *p = &m->item[i].prompt[k];
        if (p->n == 0) continue;
        const size_t bytes = (size_t)p->n * (size_t)m->text_dim * sizeof(float);
        void        *rows  = earlier[k];
        if (rows == NULL) {
            FIL_TRY(fili_arena_alloc(&m->arena, bytes, &rows));
            memcpy(rows, job->prompt[k].rows, bytes);
        }
        p->rows = rows;
    }
    return FIL_OK;
}

static void take_rows(const many *m, int32_t i, fili_job *job, float *earlier[2])
{
    for (int k = 0; k < 2; k++) {
        fili_prompt *p = &job->prompt[k];
        earlier[k]     = NULL;
        if (p->n > 0) earlier[k] = find_rows(m, i, k == 0 ? job->o.prompt : job->o.negative);
        if (earlier[k] == NULL) continue;
        p->rows   = earlier[k];
        p->cached = true; /* and need not be written */
    }
}

static fil_status encode(many *m, int32_t i)
{
    fili_job  *job        = NULL;
    float     *earlier[2] = {NULL, NULL};
    fil_status status     = open_job(m, i, &job);
    if (status == FIL_OK) {
        take_rows(m, i, job, earlier);
        status = fili_job_text(job);
    }
    if (status == FIL_OK) status = keep_rows(m, i, job, earlier);
    fili_job_close(&job);
    return status;
}

static fil_status encode_all(many *m)
{
    fil_status status = FIL_OK;
    for (int32_t i = 0; status == FIL_OK && i < m->n; i++)
        if (m->item[i].o.resume == NULL) status = settle(m, i, encode(m, i));
    fili_text_close(&m->batch.text);
    return status;
}

/* ---- runs ----------------------------------------------------------------------------------- */

static fil_status run_one(many *m, int32_t i, fil_video_result *result)
{
    fili_job  *job    = NULL;
    fil_status status = open_job(m, i, &job);
    if (status == FIL_OK) {
        memcpy(job->prompt, m->item[i].prompt, sizeof job->prompt);
        status = fili_job_run(job, result);
    }
    fili_job_close(&job);
    result->peak_bytes = m->ctx->memory.peak;
    return status;
}

static fil_status run_all(many *m, fil_video_result *last, int32_t *done)
{
    for (int32_t i = 0; i < m->n; i++) {
        fil_status status;
        if (m->item[i].failed) continue;
        *last = (fil_video_result){.saved_step = -1};
        fili_progress(m->ctx, "videos", (uint64_t)i, (uint64_t)m->n);
        status = run_one(m, i, last);
        if (status == FIL_OK) ++*done;
        status = settle(m, i, status);
        if (status != FIL_OK) return status;
    }
    fili_progress(m->ctx, "videos", (uint64_t)m->n, (uint64_t)m->n);
    if (m->failure.status != FIL_OK) m->ctx->error = m->failure;
    return m->failure.status;
}

/* ---- the calls ------------------------------------------------------------------------------ */

/* m: model, options, n and estimate are set. */
static fil_status many_open(many *m)
{
    void *block;
    m->ctx = m->model->ctx;
    fili_arena_init(&m->arena, m->ctx, "prompts", 0);
    FIL_CHECK(m->ctx, m->options != NULL && m->n >= 1 && m->n <= MOST,
              "fil_generate_many: expected 1 to %d videos, found %d", MOST, (int)m->n);
    FIL_TRY(fili_calloc(m->ctx, (size_t)m->n, sizeof *m->item, "videos", &block));
    m->item       = block;
    m->batch.cut  = cut_all;
    m->batch.user = m;
    m->base       = m->ctx->memory.used;
    return check_all(m);
}

static void many_close(many *m)
{
    fili_batch_close(&m->batch);
    if (m->item != NULL) fili_free(m->ctx, m->item, (size_t)m->n * sizeof *m->item);
    fili_arena_fini(&m->arena);
}

/* what: the call. */
static fil_status plan_of(const char *what, many *m, fil_plan *plan)
{
    FIL_CHECK(NULL, m->model != NULL, "%s: model is NULL", what);
    fili_ctx_enter(m->model->ctx);
    FIL_CHECK(m->model->ctx, plan != NULL, "%s: plan is NULL", what);
    const fil_status status = many_open(m);
    if (status == FIL_OK) *plan = m->plan;
    many_close(m);
    return status;
}

fil_status fil_generate_many_check(fil_model *model, const fil_generate_options *const *options,
                                   int32_t n, fil_plan *plan)
{
    many m = {.model = model, .options = options, .n = n};
    return plan_of("fil_generate_many_check", &m, plan);
}

fil_status fil_generate_many_estimate(fil_model *model, const fil_generate_options *const *options,
                                      int32_t n, fil_plan *plan)
{
    many m = {.model = model, .options = options, .n = n, .estimate = ESTIMATE};
    return plan_of("fil_generate_many_estimate", &m, plan);
}

static void tell_plan(const many *m)
{
    const fil_generate_options *o = &m->item[0].o;
    const fil_event e = {.kind = FIL_EVENT_PLANNED, .n_steps = m->plan.steps, .plan = &m->plan};
    if (o->event != NULL) o->event(o->event_user, &e);
}

fil_status fil_generate_many(fil_model *model, const fil_generate_options *const *options,
                             int32_t n, int32_t *done, fil_video_result *last)
{
    many             m     = {.model = model, .options = options, .n = n, .estimate = IF_HEARD};
    fil_video_result mine  = {.saved_step = -1};
    int32_t          stand = 0;
    FIL_CHECK(NULL, model != NULL, "fil_generate_many: model is NULL");
    fili_ctx_enter(model->ctx);
    fil_status status = many_open(&m);
    if (status == FIL_OK) tell_plan(&m);
    if (status == FIL_OK) status = encode_all(&m);
    if (status == FIL_OK) status = run_all(&m, &mine, &stand);
    many_close(&m);
    if (done != NULL) *done = stand;
    if (last != NULL) *last = mine;
    return status;
}
