/* kernel/cpu/mass_panels.c: layout, packing and tasks of the CPU rows of block mass
 * (mass_panels.h). The products are elsewhere: mass_avx512bf16.c and its neighbours.
 */
#include "base/pool.h"
#include "kernel/cpu/mass_panels.h"

#define PACK_GRAIN 8 /* runs of one packing task */

typedef struct layout {
    int32_t n_panels; /* of one head; a multiple of FILK_GROUP */
    int32_t slots;    /* key-value heads of a round */
    size_t  panel_bytes, slot_bytes, scratch_bytes, total;
} layout;

typedef struct run_state {
    const filk_mass_problem *p;
    const filk_mass_args    *a;
    const filk_mass_kernel  *kernel;
    layout                   l;
    int32_t                 *run_first;         /* [mk + 1] */
    uint8_t                 *lanes;             /* [n_panels] */
    char                    *slots;             /* packed keys */
    char                    *scratch;           /* per thread */
    int32_t                  kv_first, n_slots; /* heads of the round */
} run_state;

static layout plan(const filk_mass_problem *p, const filk_mass_kernel *kernel, int32_t n_threads)
{
    int32_t n = 0;
    for (int32_t b = 0; b < p->mk; b++)
        n += filk_panels_of(p->k_offset[b + 1] - p->k_offset[b]);
    layout l = {.n_panels = (n + FILK_GROUP - 1) / FILK_GROUP * FILK_GROUP};
    l.slots  = filk_round_heads((int64_t)p->mq * (p->heads / p->kv_heads), p->kv_heads, n_threads);
    l.panel_bytes   = kernel->panel_bytes(p->head_dim);
    l.slot_bytes    = filk_padded((size_t)l.n_panels * l.panel_bytes);
    l.scratch_bytes = filk_padded(kernel->scratch_bytes(l.n_panels, p->mk));
    l.total = filk_padded(sizeof(int32_t) * ((size_t)p->mk + 1)) + filk_padded((size_t)l.n_panels) +
              (size_t)l.slots * l.slot_bytes + (size_t)n_threads * l.scratch_bytes;
    return l;
}

size_t filk_mass_panels_workspace(const filk_mass_problem *problem, const filk_mass_kernel *kernel,
                                  int32_t n_threads)
{
    return plan(problem, kernel, n_threads).total;
}

static void lay_out(run_state *s, char *at, int32_t n_threads)
{
    const filk_mass_problem *p     = s->p;
    int32_t                  panel = 0;
    s->run_first                   = filk_take(&at, sizeof(int32_t) * ((size_t)p->mk + 1));
    s->lanes                       = filk_take(&at, (size_t)s->l.n_panels);
    s->slots                       = filk_take(&at, (size_t)s->l.slots * s->l.slot_bytes);
    s->scratch                     = filk_take(&at, (size_t)n_threads * s->l.scratch_bytes);
    for (int32_t b = 0; b < p->mk; b++) {
        s->run_first[b] = panel;
        for (int32_t left = p->k_offset[b + 1] - p->k_offset[b]; left > 0; left -= FILK_PANEL)
            s->lanes[panel++] = (uint8_t)(left < FILK_PANEL ? left : FILK_PANEL);
    }
    s->run_first[p->mk] = panel;
    while (panel < s->l.n_panels)
        s->lanes[panel++] = 0;
}

/* 16 keys from `token` on, of which `lanes` are there. */
static void pack_panel(const run_state *s, int32_t slot, int32_t panel, int32_t token)
{
    const size_t element = fil_dtype_bits(s->p->dtype) / 8;
    const void  *rows[FILK_PANEL];
    for (int32_t i = 0; i < FILK_PANEL; i++)
        rows[i] = i < s->lanes[panel]
                      ? filk_row_at(&s->a->k, element, token + i, s->kv_first + slot)
                      : NULL;
    s->kernel->pack(rows, s->p->head_dim,
                    s->slots + (size_t)slot * s->l.slot_bytes + (size_t)panel * s->l.panel_bytes);
}

static fil_status pack_task(void *arg, int64_t index, int32_t worker)
{
    const run_state *s     = arg;
    const int64_t    count = fili_task_count(s->p->mk, PACK_GRAIN);
    const int32_t    slot  = (int32_t)(index / count);
    const fili_range runs  = fili_task_range(s->p->mk, PACK_GRAIN, index % count);
    (void)worker;
    for (int64_t b = runs.begin; b < runs.end; b++)
        for (int32_t p = s->run_first[b]; p < s->run_first[b + 1]; p++)
            pack_panel(s, slot, p, s->p->k_offset[b] + (p - s->run_first[b]) * FILK_PANEL);
    if (runs.end == s->p->mk)
        for (int32_t p = s->run_first[s->p->mk]; p < s->l.n_panels; p++)
            pack_panel(s, slot, p, 0);
    return FIL_OK;
}

static fil_status block_task(void *arg, int64_t index, int32_t worker)
{
    const run_state      *s     = arg;
    const int32_t         group = s->p->heads / s->p->kv_heads;
    const int32_t         local = (int32_t)(index / s->p->mq); /* head within the round */
    const int32_t         u     = (int32_t)(index % s->p->mq);
    const int32_t         first = s->p->q_offset[u];
    const filk_mass_block block = {.problem  = s->p,
                                   .args     = s->a,
                                   .head     = s->kv_first * group + local,
                                   .block    = u,
                                   .first    = first,
                                   .rows     = s->p->q_offset[u + 1] - first,
                                   .panels   = s->slots + (size_t)(local / group) * s->l.slot_bytes,
                                   .lanes    = s->lanes,
                                   .n_panels = s->l.n_panels,
                                   .run_first = s->run_first,
                                   .scratch   = s->scratch + (size_t)worker * s->l.scratch_bytes};
    s->kernel->block(&block);
    return FIL_OK;
}

fil_status filk_mass_panels_run(fil_ctx *ctx, const filk_mass_problem *problem,
                                const filk_mass_args *args, const filk_mass_kernel *kernel,
                                void *workspace)
{
    run_state     s     = {.p = problem, .a = args, .kernel = kernel};
    const int32_t group = problem->heads / problem->kv_heads;
    s.l                 = plan(problem, kernel, ctx->n_threads);
    lay_out(&s, workspace, ctx->n_threads);
    for (s.kv_first = 0; s.kv_first < problem->kv_heads; s.kv_first += s.l.slots) {
        const int32_t left   = problem->kv_heads - s.kv_first;
        s.n_slots            = left < s.l.slots ? left : s.l.slots;
        const int64_t n_pack = s.n_slots * fili_task_count(problem->mk, PACK_GRAIN);
        FIL_TRY(fili_pool_run(ctx, "mass: packing", n_pack, pack_task, &s));
        const int64_t n_blocks = (int64_t)s.n_slots * group * problem->mq;
        FIL_TRY(fili_pool_run(ctx, "mass", n_blocks, block_task, &s));
        FIL_TRY(fili_check_cancel(ctx));
    }
    return FIL_OK;
}
