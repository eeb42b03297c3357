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
        if (p->cached) continue;
        FIL_TRY(fili_check_cancel(job->ctx));
        FIL_TRY(fili_arena_alloc(&job->arena,
                                 (size_t)p->n * (size_t)job->dit.text_dim * sizeof(float), &rows));
        p->rows = rows;
        FIL_TRY(fili_umt5_encode(umt5, p->ids, p->n, p->rows));
    }
    return FIL_OK;
}

fil_status fili_job_text(fili_job *job)
{
    const fil_model *m       = job->model;
    fili_weights    *weights = NULL;
    fili_umt5       *umt5    = NULL;
    if (job->plan.text_cached == job->plan.passes) return FIL_OK;
    fil_status status =
        fili_weights_open(job->ctx, FILI_PART_T5, m->paths.part[FILI_PART_T5], m->flags, &weights);
    if (status == FIL_OK) status = fili_umt5_open(job->ctx, weights, job->o.precision, &umt5);
    if (status == FIL_OK) status = encode(job, umt5);
    fili_umt5_close(&umt5);
    fili_weights_close(&weights);
    if (status == FIL_OK) fili_text_cache_keep(job);
    return status;
}
