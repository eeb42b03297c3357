/* kernel/cpu/attn_panels.c: packing, lists and tasks of the CPU rows (attn_panels.h). The products
 * are elsewhere: attn_fwd_avx512bf16.c and its neighbours.
 */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "kernel/cpu/attn_panels.h"

#define PACK_GRAIN 8 /* runs of one packing task */

typedef struct block_job {
    int64_t weight;      /* kept tokens: the heaviest task starts first */
    int32_t head, block; /* without a mask: run of dense_rows query rows */
} block_job;

/* One key-value head, packed. */
typedef struct packed_head {
    char    *k, *v;
    int32_t *run_first; /* [mk + 1] first panel of each run */
    uint8_t *lanes;     /* [panels] keys in each panel */
    float   *tail_bias; /* [tail panels * 16] log2 of the count; -inf = none */
    int32_t  sinks, n_sink_panels;
    int32_t  tail, n_tail_panels;
    int32_t  zeros;
    int32_t  kv_head;
} packed_head;

typedef struct layout {
    int32_t max_panels; /* of one slot */
    int32_t tail_panels;
    int32_t max_biased; /* panels of one list that may need a bias */
    int32_t slots;      /* key-value heads of a round */
    size_t  panel_bytes, scratch_bytes;
    size_t  slot_bytes, thread_bytes, task_bytes, total;
} layout;

static size_t list_bytes(const layout *l)
{
    return sizeof(int32_t) * (size_t)(l->max_panels + 2 * FILK_GROUP);
}

static size_t bias_bytes(const layout *l)
{
    return sizeof(float) * FILK_PANEL * (size_t)(l->max_biased + 2 * FILK_GROUP);
}

static layout plan(const filk_attn_problem *p, const filk_attn_kernel *kernel, int32_t n_threads)
{
    layout  l = {.panel_bytes   = kernel->panel_bytes(p->head_dim),
                 .scratch_bytes = kernel->scratch_bytes(p->head_dim)};
    int32_t n = 0;
    for (int32_t b = 0; b < p->mk; b++)
        n += filk_panels_of(p->k_offset[b + 1] - p->k_offset[b]);
    l.tail_panels = p->has_tail ? filk_panels_of(p->mk) : 0;
    l.max_panels  = n + filk_panels_of(p->max_sinks) + l.tail_panels + 1;
    l.max_biased  = p->mk + filk_panels_of(p->max_sinks) + l.tail_panels;

    const int64_t per_head = (int64_t)p->mq * (p->heads / p->kv_heads);
    l.slots                = filk_round_heads(per_head, p->kv_heads, n_threads);

    const size_t panels = (size_t)l.max_panels;
    l.slot_bytes        = 2 * filk_padded(panels * l.panel_bytes) +
                   filk_padded(sizeof(int32_t) * ((size_t)p->mk + 1)) + filk_padded(panels) +
                   filk_padded(sizeof(float) * FILK_PANEL * (size_t)l.tail_panels);
    l.thread_bytes =
        filk_padded(list_bytes(&l)) + filk_padded(bias_bytes(&l)) + filk_padded(l.scratch_bytes);
    l.task_bytes = filk_padded(sizeof(block_job) * (size_t)l.slots * (size_t)per_head);
    l.total = filk_padded(sizeof(packed_head) * (size_t)l.slots) + (size_t)l.slots * l.slot_bytes +
              (size_t)n_threads * l.thread_bytes + l.task_bytes;
    return l;
}

size_t filk_attn_panels_workspace(const filk_attn_problem *problem, const filk_attn_kernel *kernel,
                                  int32_t n_threads)
{
    return plan(problem, kernel, n_threads).total;
}

typedef struct run_state {
    const filk_attn_problem *p;
    const filk_attn_args    *a;
    const filk_attn_kernel  *kernel;
    layout                   l;
    packed_head             *slots;
    int32_t                  n_slots;
    char                    *threads;
    block_job               *tasks;
} run_state;

/* ---- packing -------------------------------------------------------------------------------- */

static const int32_t *sinks_of(const run_state *s, int32_t kv_head)
{
    return s->a->sinks != NULL ? s->a->sinks + kv_head * s->a->sinks_stride_h : NULL;
}

/* Number of sinks below token t. */
static int32_t sinks_below(const run_state *s, const int32_t *sinks, int32_t t)
{
    int32_t n = 0;
    while (n < s->a->n_sinks && sinks[n] < t)
        n++;
    return n;
}

static void lay_out_slot(const run_state *s, packed_head *slot, int32_t kv_head)
{
    const filk_attn_problem *p     = s->p;
    const int32_t           *sinks = sinks_of(s, kv_head);
    int32_t                  panel = 0;
    slot->kv_head                  = kv_head;
    for (int32_t b = 0; b < p->mk; b++) {
        const int32_t begin = p->k_offset[b];
        const int32_t end   = p->k_offset[b + 1];
        int32_t       valid = end - begin;
        if (sinks != NULL) valid -= sinks_below(s, sinks, end) - sinks_below(s, sinks, begin);
        slot->run_first[b] = panel;
        for (; valid > 0; valid -= FILK_PANEL)
            slot->lanes[panel++] = (uint8_t)(valid < FILK_PANEL ? valid : FILK_PANEL);
    }
    slot->run_first[p->mk] = panel;
    slot->sinks            = panel;
    for (int32_t left = sinks != NULL ? s->a->n_sinks : 0; left > 0; left -= FILK_PANEL)
        slot->lanes[panel++] = (uint8_t)(left < FILK_PANEL ? left : FILK_PANEL);
    slot->n_sink_panels = panel - slot->sinks;
    slot->tail          = panel;
    slot->n_tail_panels = s->a->tail_k.data != NULL ? s->l.tail_panels : 0;
    slot->zeros         = slot->tail + slot->n_tail_panels;
}

typedef struct panel_rows {
    const void *k[FILK_PANEL];
    const void *v[FILK_PANEL];
    int32_t     n;
} panel_rows;

static void pack_rows(const run_state *s, const packed_head *slot, int32_t panel, panel_rows *rows)
{
    const size_t at = (size_t)panel * s->l.panel_bytes;
    for (int32_t i = rows->n; i < FILK_PANEL; i++) {
        rows->k[i] = NULL;
        rows->v[i] = NULL;
    }
    s->kernel->pack(rows->k, rows->v, s->p->head_dim, slot->k + at, slot->v + at);
    rows->n = 0;
}

static void add_row(const run_state *s, const packed_head *slot, const filk_attn_view *k,
                    const filk_attn_view *v, int32_t token, panel_rows *rows)
{
    const size_t element = fil_dtype_bits(s->p->dtype) / 8;
    rows->k[rows->n]     = filk_row_at(k, element, token, slot->kv_head);
    rows->v[rows->n]     = filk_row_at(v, element, token, slot->kv_head);
    rows->n++;
}

/* Rows that lie far from each other are streams that the hardware does not foresee. */
static void fetch_row(const run_state *s, const packed_head *slot, int64_t token)
{
    const size_t element = fil_dtype_bits(s->p->dtype) / 8;
    if (token >= s->p->nk) return;
    const char *k = filk_row_at(&s->a->k, element, token, slot->kv_head);
    const char *v = filk_row_at(&s->a->v, element, token, slot->kv_head);
    for (size_t at = 0; at < element * (size_t)s->p->head_dim; at += FILK_LINE) {
        __builtin_prefetch(k + at, 0, 3);
        __builtin_prefetch(v + at, 0, 3);
    }
}

static void pack_run(const run_state *s, const packed_head *slot, int32_t b)
{
    const int32_t *sinks = sinks_of(s, slot->kv_head);
    const int32_t  end   = s->p->k_offset[b + 1];
    int32_t        token = s->p->k_offset[b];
    int32_t        next  = sinks != NULL ? sinks_below(s, sinks, token) : s->a->n_sinks;
    panel_rows     rows  = {.n = 0};
    for (int32_t panel = slot->run_first[b]; panel < slot->run_first[b + 1]; panel++) {
        for (; token < end && rows.n < slot->lanes[panel]; token++) {
            if (next < s->a->n_sinks && sinks[next] == token) {
                next++;
                continue;
            }
            add_row(s, slot, &s->a->k, &s->a->v, token, &rows);
            fetch_row(s, slot, (int64_t)token + FILK_PANEL);
        }
        pack_rows(s, slot, panel, &rows);
    }
}

/* Sinks, tail and zeros: the panels behind the runs. */
static void pack_extra(const run_state *s, const packed_head *slot)
{
    const filk_attn_args *a     = s->a;
    const int32_t        *sinks = sinks_of(s, slot->kv_head);
    panel_rows            rows  = {.n = 0};
    for (int32_t i = 0; i < slot->n_sink_panels; i++) {
        for (int32_t j = 0; j < slot->lanes[slot->sinks + i]; j++)
            add_row(s, slot, &a->k, &a->v, sinks[i * FILK_PANEL + j], &rows);
        pack_rows(s, slot, slot->sinks + i, &rows);
    }
    for (int32_t i = 0; i < slot->n_tail_panels; i++) {
        const int32_t *count = a->tail_count + slot->kv_head * a->tail_count_stride_h;
        for (int32_t j = 0; j < FILK_PANEL; j++) {
            const int32_t b    = i * FILK_PANEL + j;
            const int     has  = b < s->p->mk && count[b] > 0;
            slot->tail_bias[b] = has ? log2f((float)count[b]) : -INFINITY;
            if (b < s->p->mk) add_row(s, slot, &a->tail_k, &a->tail_v, b, &rows);
            if (b < s->p->mk && !has) rows.k[rows.n - 1] = rows.v[rows.n - 1] = NULL;
        }
        pack_rows(s, slot, slot->tail + i, &rows);
    }
    pack_rows(s, slot, slot->zeros, &rows);
}

static fil_status pack_task(void *arg, int64_t index, int32_t worker)
{
    const run_state   *s     = arg;
    const int64_t      count = fili_task_count(s->p->mk, PACK_GRAIN) + 1;
    const packed_head *slot  = &s->slots[index / count];
    (void)worker;
    if (index % count == count - 1) {
        pack_extra(s, slot);
        return FIL_OK;
    }
    const fili_range runs = fili_task_range(s->p->mk, PACK_GRAIN, index % count);
    for (int64_t b = runs.begin; b < runs.end; b++)
        pack_run(s, slot, (int32_t)b);
    return FIL_OK;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static const uint32_t *mask_row(const run_state *s, int32_t head, int32_t block)
{
    if (s->a->mask == NULL) return NULL;
    const int64_t words = (s->p->mk + 31) / 32;
    return s->a->mask + head * s->a->mask_stride_h + block * words;
}

static int keeps(const uint32_t *row, int32_t b)
{
    return row == NULL || (row[b / 32] >> (b % 32) & 1u) != 0;
}

/* The first block from b on that is kept; mk: none. Bits behind the last block are 0. */
static int32_t next_kept(const uint32_t *row, int32_t b, int32_t mk)
{
    if (row == NULL || b >= mk) return b;
    uint32_t left = row[b / 32] >> (b % 32);
    if (left != 0) return b + __builtin_ctz(left);
    for (int32_t w = b / 32 + 1; 32 * w < mk; w++)
        if (row[w] != 0) return 32 * w + __builtin_ctz(row[w]);
    return mk;
}

typedef struct list {
    int32_t *panel;
    float   *bias; /* of the panels from n_plain on */
    int32_t  n, n_plain;
} list;

/* Whole panels come first: they need no bias. */
static void list_whole(const packed_head *slot, const uint32_t *row, int32_t mk, list *out)
{
    for (int32_t b = next_kept(row, 0, mk); b < mk; b = next_kept(row, b + 1, mk)) {
        for (int32_t p = slot->run_first[b]; p < slot->run_first[b + 1]; p++)
            if (slot->lanes[p] == FILK_PANEL) out->panel[out->n++] = p;
    }
    for (int32_t i = 0; i < slot->n_sink_panels; i++)
        if (slot->lanes[slot->sinks + i] == FILK_PANEL) out->panel[out->n++] = slot->sinks + i;
    out->n_plain = out->n / FILK_GROUP * FILK_GROUP;
    for (int32_t i = 0; i < (out->n - out->n_plain) * FILK_PANEL; i++)
        out->bias[i] = 0.0f;
}

static float *next_bias(list *out, int32_t panel)
{
    float *bias          = out->bias + (size_t)(out->n - out->n_plain) * FILK_PANEL;
    out->panel[out->n++] = panel;
    return bias;
}

static void list_partial(const packed_head *slot, int32_t panel, list *out)
{
    if (slot->lanes[panel] == FILK_PANEL) return;
    float *bias = next_bias(out, panel);
    for (int32_t i = 0; i < FILK_PANEL; i++)
        bias[i] = i < slot->lanes[panel] ? 0.0f : -INFINITY;
}

static void list_tail(const run_state *s, const packed_head *slot, const uint32_t *row,
                      int32_t head, list *out)
{
    const float factor = s->a->tail_factor != NULL ? log2f(s->a->tail_factor[head]) : 0.0f;
    for (int32_t i = 0; i < slot->n_tail_panels; i++) {
        float *bias = next_bias(out, slot->tail + i);
        int    any  = 0;
        for (int32_t j = 0; j < FILK_PANEL; j++) {
            const int32_t b = i * FILK_PANEL + j;
            bias[j] = b < s->p->mk && !keeps(row, b) ? slot->tail_bias[b] + factor : -INFINITY;
            any |= bias[j] > -INFINITY;
        }
        if (!any) out->n--;
    }
}

static void make_list(const run_state *s, const packed_head *slot, const uint32_t *row,
                      int32_t head, list *out)
{
    const int32_t mk = s->p->mk;
    list_whole(slot, row, mk, out);
    for (int32_t b = next_kept(row, 0, mk); b < mk; b = next_kept(row, b + 1, mk))
        if (slot->run_first[b] < slot->run_first[b + 1])
            list_partial(slot, slot->run_first[b + 1] - 1, out);
    if (slot->n_sink_panels > 0) list_partial(slot, slot->tail - 1, out);
    if (row != NULL) list_tail(s, slot, row, head, out);
    while (out->n % FILK_GROUP != 0) {
        float *bias = next_bias(out, slot->zeros);
        for (int32_t i = 0; i < FILK_PANEL; i++)
            bias[i] = -INFINITY;
    }
}

/* ---- tasks ---------------------------------------------------------------------------------- */

static int64_t kept_tokens(const run_state *s, int32_t head, int32_t block)
{
    const uint32_t *row = mask_row(s, head, block);
    const int32_t   mk  = s->p->mk;
    int64_t         n   = 0;
    if (row == NULL) return s->p->nk;
    for (int32_t b = next_kept(row, 0, mk); b < mk; b = next_kept(row, b + 1, mk))
        n += s->p->k_offset[b + 1] - s->p->k_offset[b];
    return n;
}

/* Total order, so that the sequence is one whatever the sort. */
static int is_lighter(const block_job *a, const block_job *b)
{
    if (a->weight != b->weight) return a->weight < b->weight;
    if (a->head != b->head) return a->head > b->head;
    return a->block > b->block;
}

/* Moves job `at` down until no child of it is lighter: the lightest is on top. */
static void sift(block_job *jobs, int64_t n, int64_t at)
{
    const block_job job = jobs[at];
    for (int64_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_lighter(&jobs[child + 1], &jobs[child])) child++;
        if (!is_lighter(&jobs[child], &job)) break;
        jobs[at] = jobs[child];
        at       = child;
    }
    jobs[at] = job;
}

/* Heap sort, the heaviest first: the C library's qsort may allocate. */
static void sort_jobs(block_job *jobs, int64_t n)
{
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift(jobs, n, i);
    for (int64_t i = n - 1; i > 0; i--) {
        const block_job lightest = jobs[0];
        jobs[0]                  = jobs[i];
        jobs[i]                  = lightest;
        sift(jobs, i, 0);
    }
}

/* Rows of a task that are the kernel's own choice; 0: tasks are blocks. */
static int32_t dense_rows(const run_state *s)
{
    return s->a->mask == NULL ? s->kernel->dense_rows : 0;
}

static int64_t make_tasks(run_state *s, int32_t first_head, int32_t n_heads)
{
    const int32_t rows   = dense_rows(s);
    const int64_t blocks = rows > 0 ? (s->p->nq + rows - 1) / rows : s->p->mq;
    int64_t       n      = 0;
    for (int32_t h = first_head; h < first_head + n_heads; h++)
        for (int32_t b = 0; b < blocks; b++)
            s->tasks[n++] = (block_job){.weight = kept_tokens(s, h, b), .head = h, .block = b};
    if (s->a->mask != NULL) sort_jobs(s->tasks, n);
    return n;
}

static void take_rows(const run_state *s, const block_job *t, filk_attn_block *block)
{
    const int32_t rows = dense_rows(s);
    if (rows > 0) {
        const int64_t left = s->p->nq - (int64_t)t->block * rows;
        block->first       = t->block * rows;
        block->rows        = left < rows ? (int32_t)left : rows;
    } else {
        block->first = s->p->q_offset[t->block];
        block->rows  = s->p->q_offset[t->block + 1] - block->first;
    }
}

static fil_status block_task(void *arg, int64_t index, int32_t worker)
{
    const run_state   *s       = arg;
    const block_job   *t       = &s->tasks[index];
    const int32_t      kv_head = t->head / (s->p->heads / s->p->kv_heads);
    const packed_head *slot    = &s->slots[kv_head - s->slots[0].kv_head];
    char              *at      = s->threads + (size_t)worker * s->l.thread_bytes;
    list               l       = {.panel = filk_take(&at, list_bytes(&s->l)), .n = 0};
    l.bias                     = filk_take(&at, bias_bytes(&s->l));
    make_list(s, slot, mask_row(s, t->head, t->block), t->head, &l);

    filk_attn_block block = {.problem  = s->p,
                             .args     = s->a,
                             .head     = t->head,
                             .k_panels = slot->k,
                             .v_panels = slot->v,
                             .list     = l.panel,
                             .n_list   = l.n,
                             .n_plain  = l.n_plain,
                             .bias     = l.bias,
                             .scratch  = at};
    take_rows(s, t, &block);
    s->kernel->block(&block);
    return FIL_OK;
}

static void carve(run_state *s, char *at, int32_t n_threads)
{
    s->slots = filk_take(&at, sizeof(packed_head) * (size_t)s->l.slots);
    for (int32_t i = 0; i < s->l.slots; i++) {
        const size_t panels = (size_t)s->l.max_panels;
        packed_head *slot   = &s->slots[i];
        slot->k             = filk_take(&at, panels * s->l.panel_bytes);
        slot->v             = filk_take(&at, panels * s->l.panel_bytes);
        slot->run_first     = filk_take(&at, sizeof(int32_t) * ((size_t)s->p->mk + 1));
        slot->lanes         = filk_take(&at, panels);
        slot->tail_bias     = filk_take(&at, sizeof(float) * FILK_PANEL * (size_t)s->l.tail_panels);
    }
    s->tasks   = filk_take(&at, s->l.task_bytes);
    s->threads = filk_take(&at, (size_t)n_threads * s->l.thread_bytes);
}

fil_status filk_attn_panels_run(fil_ctx *ctx, const filk_attn_problem *problem,
                                const filk_attn_args *args, const filk_attn_kernel *kernel,
                                void *workspace)
{
    run_state     s     = {.p = problem, .a = args, .kernel = kernel};
    const int32_t group = problem->heads / problem->kv_heads;
    s.l                 = plan(problem, kernel, ctx->n_threads);
    carve(&s, workspace, ctx->n_threads);
    for (int32_t head = 0; head < problem->kv_heads; head += s.l.slots) {
        const int32_t left = problem->kv_heads - head;
        s.n_slots          = left < s.l.slots ? left : s.l.slots;
        for (int32_t i = 0; i < s.n_slots; i++)
            lay_out_slot(&s, &s.slots[i], head + i);
        const int64_t n_pack = s.n_slots * (fili_task_count(problem->mk, PACK_GRAIN) + 1);
        FIL_TRY(fili_pool_run(ctx, "attention: packing", n_pack, pack_task, &s));
        const int64_t n_blocks = make_tasks(&s, head * group, s.n_slots * group);
        FIL_TRY(fili_pool_run(ctx, "attention", n_blocks, block_task, &s));
        FIL_TRY(fili_check_cancel(ctx));
    }
    return FIL_OK;
}
