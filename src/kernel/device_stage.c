/* kernel/device_stage.c: copies between host and device around a run (device_stage.h). */
#include <string.h>

#include "kernel/device_stage.h"

#define LINE      128        /* alignment that a staged copy shares with its original */
#define MAX_PITCH 0x7fffff00 /* of one rectangle */
#define SLACK     (1 << 20)  /* gaps up to here are kept whatever the view holds */
#define NAN_BYTE  0xFF

void filk_stage_begin(filk_stage *s, fil_ctx *ctx)
{
    s->ctx       = ctx;
    s->device    = ctx->device;
    s->status    = FIL_OK;
    s->staged    = 0;
    s->n_outputs = 0;
    if (s->device == NULL)
        s->status = FIL_FAIL(ctx, FIL_E_ARG, "a kernel of a device was called without a device");
}

filk_stage_area filk_stage_area_of(int64_t n0, int64_t n1, int64_t stride0, int64_t stride1,
                                   int64_t elements, int64_t size)
{
    return (filk_stage_area){
        .n = {n0, n1}, .stride = {stride0 * size, stride1 * size}, .bytes = elements * size};
}

static void note(filk_stage *s, fil_status status)
{
    if (s->status == FIL_OK) s->status = fili_device_check(s->ctx, status, "staging");
}

static int is_empty(const filk_stage_area *a)
{
    return a->n[0] <= 0 || a->n[1] <= 0 || a->bytes <= 0;
}

static int64_t span_of(const filk_stage_area *a)
{
    return (a->n[0] - 1) * a->stride[0] + (a->n[1] - 1) * a->stride[1] + a->bytes;
}

/* ---- copying -------------------------------------------------------------------------------- */

typedef struct copy_job {
    filk_stage            *s;
    const filk_stage_area *to, *from;
    char                  *dst;
    const char            *src;
    fili_copy              way;
} copy_job;

/* `rows` pieces of `bytes` bytes along axis `axis`, beginning `at` along the other one. */
static void copy_rows(const copy_job *j, int axis, int64_t at, int64_t bytes)
{
    const fili_backend *b    = j->s->device->backend;
    const int64_t       rows = j->to->n[axis];
    fili_copy_rect      r    = {.dst       = j->dst + at * j->to->stride[1 - axis],
                                .src       = j->src + at * j->from->stride[1 - axis],
                                .dst_pitch = (size_t)j->to->stride[axis],
                                .src_pitch = (size_t)j->from->stride[axis],
                                .row_bytes = (size_t)bytes,
                                .rows      = (size_t)rows,
                                .way       = j->way};
    const int           wide = j->to->stride[axis] > MAX_PITCH || j->from->stride[axis] > MAX_PITCH;
    if (rows == 1) r.dst_pitch = r.src_pitch = r.row_bytes;
    if (rows == 1 || (!wide && r.dst_pitch >= r.row_bytes && r.src_pitch >= r.row_bytes)) {
        note(j->s, b->copy(j->s->device->handle, &r));
        return;
    }
    for (int64_t i = 0; i < rows && j->s->status == FIL_OK; i++) {
        fili_copy_rect one = r;
        one.dst            = (char *)r.dst + i * j->to->stride[axis];
        one.src            = (const char *)r.src + i * j->from->stride[axis];
        one.rows           = 1;
        one.dst_pitch = one.src_pitch = one.row_bytes;
        note(j->s, b->copy(j->s->device->handle, &one));
    }
}

/* Where the inner pieces touch on both sides, a line of the outer axis is one piece. */
static void copy_area(const copy_job *j)
{
    const int64_t bytes = j->to->bytes;
    const int     dense =
        j->to->n[1] == 1 || (j->to->stride[1] == bytes && j->from->stride[1] == bytes);
    if (dense) {
        copy_rows(j, 0, 0, bytes * j->to->n[1]);
        return;
    }
    const int outer = j->to->n[0] >= j->to->n[1] ? 0 : 1; /* fewer, longer rectangles */
    for (int64_t i = 0; i < j->to->n[1 - outer] && j->s->status == FIL_OK; i++)
        copy_rows(j, outer, i, bytes);
}

/* ---- layouts -------------------------------------------------------------------------------- */

static int is_aligned(const void *host, const filk_stage_area *a, int64_t align)
{
    return (uintptr_t)host % (uintptr_t)align == 0 && (a->n[0] == 1 || a->stride[0] % align == 0) &&
           (a->n[1] == 1 || a->stride[1] % align == 0);
}

static int overlaps(const filk_stage_area *a)
{
    return (a->n[0] > 1 && a->stride[0] < a->bytes) || (a->n[1] > 1 && a->stride[1] < a->bytes);
}

/* The layout on the device, and the offset of its base from a multiple of LINE. */
static filk_stage_area layout_of(const void *host, const filk_stage_area *a, int64_t align,
                                 int64_t *offset)
{
    const int64_t   payload = a->n[0] * a->n[1] * a->bytes;
    filk_stage_area d       = *a;
    *offset                 = (int64_t)((uintptr_t)host % LINE);
    if (is_aligned(host, a, align) && !overlaps(a) && span_of(a) <= 2 * payload + SLACK) return d;
    const int64_t piece = (a->bytes + align - 1) / align * align;
    *offset             = 0;
    d.stride[1]         = piece;
    d.stride[0]         = piece * a->n[1];
    return d;
}

static char *take(filk_stage *s, const void *host, filk_stage_area *area, int64_t align)
{
    const fili_backend   *b = s->device->backend;
    int64_t               offset;
    void                 *block = NULL;
    const filk_stage_area d     = layout_of(host, area, align, &offset);
    const size_t          bytes = (size_t)(span_of(&d) + offset);
    if (s->staged++ == 0) b->scratch_reset(s->device->handle);
    note(s, b->scratch_take(s->device->handle, bytes, &block));
    if (s->status == FIL_OK) note(s, b->fill(s->device->handle, block, NAN_BYTE, bytes));
    *area = d;
    return s->status == FIL_OK ? (char *)block + offset : NULL;
}

static int in_place(filk_stage *s, const void *p, const filk_stage_area *area)
{
    if (p == NULL || is_empty(area) || s->status != FIL_OK) return 1;
    return s->device->backend->owns(s->device->handle, p);
}

/* ---- the pieces of a run -------------------------------------------------------------------- */

const void *filk_stage_in_area(filk_stage *s, const void *host, filk_stage_area *area,
                               int64_t align)
{
    if (in_place(s, host, area)) return host;
    const filk_stage_area from = *area;
    char                 *copy = take(s, host, area, align);
    copy_job              job  = {.s = s, .to = area, .from = &from};
    job.dst                    = copy;
    job.src                    = host;
    job.way                    = FILI_COPY_TO_DEVICE;
    if (s->status == FIL_OK) copy_area(&job);
    return copy;
}

const void *filk_stage_in(filk_stage *s, const void *host, size_t bytes)
{
    filk_stage_area area = {.n = {1, 1}, .bytes = (int64_t)bytes};
    return filk_stage_in_area(s, host, &area, 1);
}

filk_attn_view filk_stage_view(filk_stage *s, const filk_attn_view *view, int64_t tokens,
                               int32_t heads, int32_t head_dim, int64_t size, int64_t align)
{
    filk_attn_view  v = *view;
    filk_stage_area area =
        filk_stage_area_of(tokens, heads, view->stride_n, view->stride_h, head_dim, size);
    v.data     = filk_stage_in_area(s, view->data, &area, align);
    v.stride_n = area.stride[0] / size;
    v.stride_h = area.stride[1] / size;
    return v;
}

void *filk_stage_out_area(filk_stage *s, void *host, filk_stage_area *area, int64_t align,
                          int with_content)
{
    if (in_place(s, host, area)) return host;
    const filk_stage_area from = *area;
    char                 *copy = take(s, host, area, align);
    if (s->status != FIL_OK) return NULL;
    if (s->n_outputs == FILK_STAGE_OUTPUTS) {
        s->status =
            FIL_FAIL(s->ctx, FIL_E_INTERNAL, "staging: more than %d outputs", FILK_STAGE_OUTPUTS);
        return NULL;
    }
    s->output[s->n_outputs++] =
        (filk_stage_output){.host = host, .device = copy, .on_host = from, .on_device = *area};
    copy_job job = {.s = s, .to = area, .from = &from};
    job.dst      = copy;
    job.src      = host;
    job.way      = FILI_COPY_TO_DEVICE;
    if (with_content) copy_area(&job);
    return copy;
}

void *filk_stage_out(filk_stage *s, void *host, size_t bytes)
{
    filk_stage_area area = {.n = {1, 1}, .bytes = (int64_t)bytes};
    return filk_stage_out_area(s, host, &area, 1, 0);
}

void *filk_stage_workspace(filk_stage *s, void *workspace, size_t bytes)
{
    filk_stage_area area = {.n = {1, 1}, .bytes = (int64_t)bytes};
    if (workspace == NULL && bytes > 0 && s->status == FIL_OK) return take(s, NULL, &area, 1);
    if (in_place(s, workspace, &area)) return workspace;
    return take(s, NULL, &area, 1);
}

fil_status filk_stage_end(filk_stage *s, const char *what)
{
    for (int32_t i = 0; i < s->n_outputs && s->status == FIL_OK; i++) {
        const filk_stage_output *o   = &s->output[i];
        const copy_job           job = {.s    = s,
                                        .to   = &o->on_host,
                                        .from = &o->on_device,
                                        .dst  = o->host,
                                        .src  = o->device,
                                        .way  = FILI_COPY_TO_HOST};
        copy_area(&job);
    }
    if (s->staged > 0 && s->status == FIL_OK) note(s, s->device->backend->sync(s->device->handle));
    if (s->status != FIL_OK && s->ctx->error.status == FIL_OK && s->device != NULL)
        return fili_device_check(s->ctx, s->status, what);
    return s->status;
}
