/* engine/generate_text.c: prompts to rows (video_job.h). The text encoder lives within this call:
 * its memory is given back before the transformer takes any. Where all rows come from files it is
 * not opened at all.
 */
#include "engine/text_cache.h"

static fil_status encode(fili_job *job, fili_umt5 *umt5)
{
    for (int i = 0; i < job->plan.passes; i++) {
        fili_prompt *p = &job->prompt[i];
        void        *rows;
        if (p->rows != NULL) continue;
        FIL_TRY(fili_check_cancel(job->ctx));
        FIL_TRY(fili_arena_alloc(&job->arena,
                                 (size_t)p->n * (size_t)job->dit.text_dim * sizeof(float), &rows));
        p->rows = rows;
        FIL_TRY(fili_umt5_encode(umt5, p->ids, p->n, p->rows));
    }
    return FIL_OK;
}

static fil_status text_open(const fil_model *m, fil_dtype precision, fili_text *text)
{
    const char *path   = m->paths.part[FILI_PART_T5];
    fil_status  status = fili_weights_open(m->ctx, FILI_PART_T5, path, m->flags, &text->weights);
    if (status == FIL_OK) status = fili_umt5_open(m->ctx, text->weights, precision, &text->umt5);
    return status;
}

void fili_text_close(fili_text *text)
{
    fili_umt5_close(&text->umt5);
    fili_weights_close(&text->weights);
}

static bool has_all_rows(const fili_job *job)
{
    for (int i = 0; i < job->plan.passes; i++)
        if (job->prompt[i].rows == NULL) return false;
    return true;
}

/* In a batch the encoder stays open for the next job. */
fil_status fili_job_text(fili_job *job)
{
    fili_text  mine   = {.umt5 = NULL};
    fili_text *text   = job->batch != NULL ? &job->batch->text : &mine;
    fil_status status = FIL_OK;
    if (has_all_rows(job)) return FIL_OK;
    if (text->umt5 == NULL) status = text_open(job->model, job->o.precision, text);
    if (status == FIL_OK) status = encode(job, text->umt5);
    fili_text_close(&mine);
    if (status == FIL_OK) fili_text_cache_keep(job);
    return status;
}
