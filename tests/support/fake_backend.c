/* tests/support/fake_backend.c: a backend (base/device.h) whose device is this CPU, as a shared
 * object that a test loads in place of the real one (FIL_CUDA_BACKEND).
 *
 * Its memory is its own: each block ends at a page that faults, `owns` knows every block, and a row
 * that is handed a pointer to the host's memory fails. Outside of the backend's functions all of it
 * faults, so that nobody else reads or writes it; fresh memory is full of NaN. Copies to it read
 * the host's memory when the next work begins, as one from pinned memory may. Rows compute with
 * this machine's rows. So all that lies between the registry and the kernels of a device runs, and
 * is judged by the same checkers, without a GPU. It says nothing about the kernels themselves.
 *
 *     FIL_FAKE_BYTES=N   what it has of memory, scratch aside (4 GiB otherwise)
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/conv3d.h"
#include "kernel/device_rows.h"
#include "kernel/linear.h"
#include "kernel/mass.h"
#include "kernel/norm.h"
#include "kernel/pooling.h"
#include "kernel/select.h"
#include "kernel/softmax.h"
#include "nn/elementwise.h"
#include "tensor/convert.h"

#define PAGE       ((size_t)4096)
#define LINE       ((size_t)256)
#define MAX_BLOCKS 4096
#define NAN_BYTE   0xff
#define LATER      64

typedef struct block {
    char  *data, *map;
    size_t bytes, map_bytes;
    int    scratch;
} block;

typedef struct fake {
    fil_ctx       *ctx; /* of the rows that compute */
    block          block[MAX_BLOCKS];
    int            n_blocks;
    int            inside;       /* functions of the backend that are at work */
    fili_copy_rect later[LATER]; /* to the device, not read yet */
    int            n_later;
    uint64_t       all, used; /* bytes that were there, and that alloc has given */
    void          *pinned;    /* of the host; NULL: nothing is */
    double         mark[16];
    char           error[FILI_DEVICE_TEXT];
} fake;

static fil_status complain(fake *f, const char *text)
{
    snprintf(f->error, sizeof f->error, "%s", text);
    return FIL_E_DEVICE;
}

/* ---- devices -------------------------------------------------------------------------------- */

static int32_t count(char text[FILI_DEVICE_TEXT])
{
    text[0] = '\0';
    return 1;
}

static fil_status open_device(int32_t index, void **device, fili_device_info *info,
                              char text[FILI_DEVICE_TEXT])
{
    fake       *f = calloc(1, sizeof *f);
    fil_options opt;
    fil_options_init(&opt);
    opt.device    = "cpu";
    opt.n_threads = 1;
    *device       = f;
    if (f == NULL) return FIL_E_NOMEM;
    const char *text_bytes = getenv("FIL_FAKE_BYTES");
    f->all = text_bytes != NULL ? strtoull(text_bytes, NULL, 10) : (uint64_t)4 << 30;
    *info  = (fili_device_info){.name       = "a CPU in disguise",
                                .index      = index,
                                .arch       = 90,
                                .sms        = 1,
                                .bytes      = f->all,
                                .free_bytes = f->all};
    if (fil_ctx_open(&f->ctx, &opt) == FIL_OK) {
        /* A device's products read denormals as they are: those of bf16 dot products do not. */
        if (fili_isa_has(f->ctx->isa, FILI_ISA_AVX512BF16)) f->ctx->isa = FILI_ISA_AVX512;
        return FIL_OK;
    }
    snprintf(text, FILI_DEVICE_TEXT, "%s", fil_ctx_error(NULL)->message);
    free(f);
    *device = NULL;
    return FIL_E_DEVICE;
}

static void drop(fake *f, int i)
{
    if (!f->block[i].scratch) f->used -= f->block[i].bytes;
    munmap(f->block[i].map, f->block[i].map_bytes);
    f->block[i] = f->block[--f->n_blocks];
}

static void close_device(void *device)
{
    fake *f = device;
    if (f->pinned != NULL) abort(); /* it may be gone already */
    while (f->n_blocks > 0)
        drop(f, 0);
    fil_ctx_close(&f->ctx);
    free(f);
}

static const char *error_of(const void *device)
{
    return ((const fake *)device)->error;
}

static void *stream_of(const void *device)
{
    (void)device;
    return NULL;
}

/* ---- memory --------------------------------------------------------------------------------- */

static void protect(const block *b, int prot)
{
    mprotect(b->map, b->map_bytes - PAGE, prot);
}

static void do_copy(const fili_copy_rect *r)
{
    for (size_t i = 0; i < r->rows; i++)
        memcpy((char *)r->dst + i * r->dst_pitch, (const char *)r->src + i * r->src_pitch,
               r->row_bytes);
}

/* Between the two the memory can be touched. What was to be copied to it is read now, as late as it
 * may be. */
static void go_in(fake *f)
{
    if (f->inside++ > 0) return;
    for (int i = 0; i < f->n_blocks; i++)
        protect(&f->block[i], PROT_READ | PROT_WRITE);
    for (int i = 0; i < f->n_later; i++)
        do_copy(&f->later[i]);
    f->n_later = 0;
}

static void go_out(fake *f)
{
    if (--f->inside > 0) return;
    for (int i = 0; i < f->n_blocks; i++)
        protect(&f->block[i], PROT_NONE);
}

static fil_status take(fake *f, size_t bytes, int scratch, void **out)
{
    const size_t whole = (bytes + LINE - 1) / LINE * LINE;
    const size_t pages = (whole + PAGE - 1) / PAGE * PAGE;
    *out               = NULL;
    if (bytes == 0) return FIL_OK;
    if (f->n_blocks == MAX_BLOCKS) return FIL_E_NOMEM_DEV;
    char *map =
        mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) return FIL_E_NOMEM_DEV;
    memset(map, NAN_BYTE, pages);
    mprotect(map + pages, PAGE, PROT_NONE);
    f->block[f->n_blocks] = (block){.data      = map + pages - whole,
                                    .map       = map,
                                    .bytes     = whole,
                                    .map_bytes = pages + PAGE,
                                    .scratch   = scratch};
    if (f->inside == 0) protect(&f->block[f->n_blocks], PROT_NONE);
    f->n_blocks++;
    *out = map + pages - whole;
    return FIL_OK;
}

static fil_status alloc(void *device, size_t bytes, void **out)
{
    fake *f = device;
    *out    = NULL;
    if (bytes > f->all - f->used) {
        snprintf(f->error, sizeof f->error, "%zu bytes of the device: %llu of %llu are taken",
                 bytes, (unsigned long long)f->used, (unsigned long long)f->all);
        return FIL_E_NOMEM_DEV;
    }
    const fil_status status = take(f, bytes, 0, out);
    if (status == FIL_OK && *out != NULL) f->used += f->block[f->n_blocks - 1].bytes;
    return status;
}

static void free_block(void *device, void *p)
{
    fake *f = device;
    go_in(f); /* copies that wait */
    go_out(f);
    for (int i = f->n_blocks - 1; i >= 0; i--)
        if (f->block[i].data == p) drop(f, i);
}

static fil_status pin(void *device, void *host, size_t bytes)
{
    fake *f = device;
    if (f->pinned != NULL || bytes == 0) return complain(f, "more is pinned than one block");
    if ((uintptr_t)host % FILI_DEVICE_PAGE != 0 || bytes % FILI_DEVICE_PAGE != 0) abort();
    f->pinned = host;
    return FIL_OK;
}

static void unpin(void *device, void *host)
{
    fake *f = device;
    if (f->pinned != host) abort();
    go_in(f); /* copies that wait */
    go_out(f);
    f->pinned = NULL;
}

static int owns(void *device, const void *p)
{
    const fake *f = device;
    for (int i = 0; i < f->n_blocks; i++)
        if ((const char *)p >= f->block[i].data &&
            (const char *)p < f->block[i].data + f->block[i].bytes)
            return 1;
    return 0;
}

static fil_status copy(void *device, const fili_copy_rect *r)
{
    fake *f = device;
    if (r->rows == 0 || r->row_bytes == 0) return FIL_OK;
    if (owns(f, r->dst) != (r->way != FILI_COPY_TO_HOST) ||
        owns(f, r->src) != (r->way != FILI_COPY_TO_DEVICE))
        return complain(f, "a copy goes another way than it says");
    if (r->rows > 1 && (r->dst_pitch < r->row_bytes || r->src_pitch < r->row_bytes))
        return complain(f, "the rows of a copy overlap");
    if (r->way == FILI_COPY_TO_DEVICE && f->n_later < LATER) {
        f->later[f->n_later++] = *r;
        return FIL_OK;
    }
    go_in(f);
    do_copy(r);
    go_out(f);
    return FIL_OK;
}

static fil_status fill(void *device, void *dst, int byte, size_t bytes)
{
    if (bytes > 0 && !owns(device, dst)) return complain(device, "fill of the host's memory");
    go_in(device);
    if (bytes > 0) memset(dst, byte, bytes);
    go_out(device);
    return FIL_OK;
}

static fil_status sync_device(void *device)
{
    go_in(device);
    go_out(device);
    return FIL_OK;
}

static fil_status scratch_take(void *device, size_t bytes, void **out)
{
    return take(device, bytes, 1, out);
}

static void scratch_reset(void *device)
{
    fake *f = device;
    sync_device(device);
    for (int i = f->n_blocks - 1; i >= 0; i--)
        if (f->block[i].scratch) drop(f, i);
}

static fil_status mark(void *device, int32_t n)
{
    fake *f    = device;
    f->mark[n] = 1e-9 * (double)f->ctx->os->clock_ns(f->ctx->os->self);
    return FIL_OK;
}

static fil_status between(void *device, int32_t from, int32_t to, double *seconds)
{
    const fake *f = device;
    *seconds      = f->mark[to] - f->mark[from];
    return FIL_OK;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Every pointer that a row gets is the device's. */
static int all_owned(fake *f, const void *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] != NULL && !owns(f, list[i])) return 0;
    return 1;
}

#define OWNED(f, ...)                                                                              \
    all_owned(f, (const void *const[]){__VA_ARGS__},                                               \
              sizeof((const void *const[]){__VA_ARGS__}) / sizeof(void *))

static fil_status run_row(fake *f, const filk_family *family, const void *problem, const void *args)
{
    const filk_row *row;
    fili_ctx_enter(f->ctx);
    go_in(f);
    fil_status status = filk_select(f->ctx, family, problem, NULL, &row);
    if (status == FIL_OK) {
        const size_t bytes = row->workspace(problem, 1);
        void        *space = aligned_alloc(64, (bytes + 127) / 64 * 64);
        status             = row->run(f->ctx, problem, args, space);
        free(space);
    }
    go_out(f);
    if (status != FIL_OK)
        snprintf(f->error, sizeof f->error, "%.200s", fil_ctx_error(f->ctx)->message);
    return status;
}

/* Asked for so that a workspace is staged; nobody uses it. */
static size_t some_workspace(const void *problem)
{
    (void)problem;
    return 1000;
}

static fil_status attention(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_attn_args *a = args;
    if (!OWNED(device, a->q.data, a->k.data, a->v.data, a->out, a->lse, a->mask, a->tail_k.data,
               a->tail_v.data, a->tail_count, a->tail_factor, workspace,
               a->n_sinks > 0 ? a->sinks : NULL))
        return complain(device, "attention was handed memory of the host");
    return run_row(device, &filk_attention, problem, args);
}

static int on_16_bytes(const void *data, int64_t stride_n, int64_t stride_h)
{
    return ((uintptr_t)data | (uintptr_t)(stride_n * 2) | (uintptr_t)(stride_h * 2)) % 16 == 0;
}

static fil_status attention_tma(void *device, const void *problem, const void *args,
                                void *workspace)
{
    const filk_attn_args *a = args;
    if (!on_16_bytes(a->q.data, a->q.stride_n, a->q.stride_h) ||
        !on_16_bytes(a->k.data, a->k.stride_n, a->k.stride_h) ||
        !on_16_bytes(a->v.data, a->v.stride_n, a->v.stride_h) ||
        !on_16_bytes(a->out, a->out_stride_n, a->out_stride_h))
        return complain(device, "a view is not on 16 bytes");
    return attention(device, problem, args, workspace);
}

static fil_status mass(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_mass_args *a = args;
    if (!OWNED(device, a->q.data, a->k.data, a->lse_in, a->lse_out, a->mass, workspace))
        return complain(device, "mass was handed memory of the host");
    return run_row(device, &filk_mass, problem, args);
}

static fil_status pooling(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_pooling_args *a = args;
    if (!OWNED(device, a->x.data, a->out_f32, a->out_bf16, a->count, workspace,
               a->n_sinks > 0 ? a->sinks : NULL))
        return complain(device, "pooling was handed memory of the host");
    return run_row(device, &filk_pooling, problem, args);
}

static fil_status norm(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_norm_args *a = args;
    if (!OWNED(device, a->x, a->out, a->a, a->b, a->cos, a->sin, workspace))
        return complain(device, "norm was handed memory of the host");
    return run_row(device, &filk_norm, problem, args);
}

static fil_status selection(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_select_args *a = args;
    if (!OWNED(device, a->q, a->k, a->count, a->mask, a->score, workspace))
        return complain(device, "select was handed memory of the host");
    return run_row(device, &filk_selection, problem, args);
}

static fil_status find_nonfinite(void *device, const void *problem, const void *args,
                                 void *workspace)
{
    const filk_find_problem *p = problem;
    const filk_find_args    *a = args;
    (void)workspace;
    if (!OWNED(device, a->x, a->at))
        return complain(device, "the search was handed memory of the host");
    go_in(device);
    *a->at = fili_first_nonfinite(a->x, p->n);
    go_out(device);
    return FIL_OK;
}

static fil_status gated_add(void *device, const void *problem, const void *args, void *workspace)
{
    fake                     *f = device;
    const filk_gated_problem *p = problem;
    const filk_gated_args    *a = args;
    const fili_gated          g = {.dtype  = p->dtype,
                                   .gate   = a->gate,
                                   .coarse = a->coarse,
                                   .offset = p->offset,
                                   .m      = p->m,
                                   .cols   = p->cols,
                                   .out    = a->out};
    (void)workspace;
    if (!OWNED(device, a->gate, a->coarse, a->out))
        return complain(device, "the gate was handed memory of the host");
    go_in(f);
    const fil_status status = fili_gated_add(f->ctx, &g);
    go_out(f);
    return status;
}

static fil_status cast(void *device, const void *problem, const void *args, void *workspace)
{
    fake                    *f = device;
    const filk_cast_problem *p = problem;
    const filk_cast_args    *a = args;
    (void)workspace;
    if (!OWNED(device, a->x, a->out)) return complain(device, "a cast was handed host memory");
    go_in(f);
    const fil_status status = fili_convert(f->ctx, p->dtype, a->out, FIL_F32, a->x, p->n);
    go_out(f);
    return status;
}

static fil_status double_frame(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_double_problem *p = problem;
    const filk_double_args    *a = args;
    (void)workspace;
    if (!OWNED(device, a->from, a->to)) return complain(device, "doubling was handed host memory");
    go_in(device);
    for (int64_t y = 0; y < p->h; y++)
        for (int64_t x = 0; x < p->w; x++) {
            const int64_t to = (2 * y + p->part / 2) * 2 * p->w + 2 * x + p->part % 2;
            memcpy(a->to + to * p->c, a->from + (y * p->w + x) * p->c,
                   (size_t)p->c * sizeof(float));
        }
    go_out(device);
    return FIL_OK;
}

static fil_status softmax(void *device, const void *problem, const void *args, void *workspace)
{
    fake                       *f   = device;
    const filk_softmax_problem *p   = problem;
    const filk_softmax_args    *a   = args;
    const filk_softmax_fn       row = filk_softmax_select(f->ctx->isa);
    (void)workspace;
    if (!OWNED(device, a->x)) return complain(device, "softmax was handed host memory");
    go_in(f);
    for (int64_t i = 0; i < p->rows; i++)
        row(&(filk_softmax_row){.x = a->x + i * p->n, .n = p->n, .scale = p->scale});
    go_out(f);
    return FIL_OK;
}

/* ---- plans: those of this machine's row ----------------------------------------------------- */

typedef struct fake_plan {
    fake           *f;
    const filk_row *row;
    void           *inner;
} fake_plan;

static fil_status told(fake *f, fil_status status)
{
    if (status != FIL_OK)
        snprintf(f->error, sizeof f->error, "%.200s", fil_ctx_error(f->ctx)->message);
    return status;
}

static void plan_destroy(void *device, void *plan)
{
    fake      *f = device;
    fake_plan *p = plan;
    if (p->row != NULL) p->row->plan->destroy(f->ctx, &p->inner);
    free(p);
}

static fil_status plan_create(fake *f, const filk_family *family, const void *problem, void **plan)
{
    fake_plan *p = calloc(1, sizeof *p);
    *plan        = NULL;
    if (p == NULL) return FIL_E_NOMEM;
    p->f = f;
    fili_ctx_enter(f->ctx);
    fil_status status = filk_select(f->ctx, family, problem, NULL, &p->row);
    if (status == FIL_OK) status = p->row->plan->create(f->ctx, problem, &p->inner);
    if (status != FIL_OK)
        plan_destroy(f, p);
    else
        *plan = p;
    return told(f, status);
}

static fil_status linear_create(void *device, const void *problem, void **plan)
{
    return plan_create(device, &filk_linear, problem, plan);
}

static size_t plan_workspace(const void *plan)
{
    const fake_plan *p = plan;
    return p->row->plan->workspace(p->inner) + 64;
}

static size_t plan_packed(const void *plan)
{
    const fake_plan *p = plan;
    return p->row->plan->packed_bytes(p->inner);
}

static fil_status plan_pack(void *device, const void *plan, const void *weight, void *packed,
                            void *workspace)
{
    const fake_plan *p = plan;
    if (!OWNED(device, weight, packed, workspace))
        return complain(device, "pack was handed memory of the host");
    go_in(device);
    const fil_status status =
        told(device, p->row->plan->pack(p->f->ctx, p->inner, weight, packed, workspace));
    go_out(device);
    return status;
}

static fil_status linear_run(void *device, const void *plan, const void *args, void *workspace)
{
    const fake_plan        *p = plan;
    const filk_linear_args *a = args;
    if (!OWNED(device, a->x, a->weight, a->bias, a->gate, a->residual, a->out, workspace))
        return complain(device, "linear was handed memory of the host");
    go_in(device);
    const fil_status status = told(device, p->row->plan->run(p->f->ctx, p->inner, args, workspace));
    go_out(device);
    return status;
}

/* The one frame of a window that is all there is. */
static fil_status conv_create(void *device, const void *problem, void **plan)
{
    filk_conv3d_problem p = *(const filk_conv3d_problem *)problem;
    p.t = (filk_conv3d_axis){.size = p.t.kernel, .kernel = p.t.kernel, .stride = 1};
    return plan_create(device, &filk_conv3d, &p, plan);
}

static fil_status conv_run(void *device, const void *plan, const void *args, void *workspace)
{
    const fake_plan             *p   = plan;
    const filk_device_conv_args *a   = args;
    void *const                  out = a->out;
    const void *const            add = a->residual;
    const filk_conv3d_args       all = {.frames   = a->frame,
                                        .packed   = a->packed,
                                        .bias     = a->bias,
                                        .residual = add != NULL ? &add : NULL,
                                        .out      = &out};
    if (!all_owned(device, a->frame, FILK_DEVICE_FRAMES) ||
        !OWNED(device, a->packed, a->bias, a->residual, a->out, workspace))
        return complain(device, "conv3d was handed memory of the host");
    go_in(device);
    const fil_status status = told(device, p->row->plan->run(p->f->ctx, p->inner, &all, workspace));
    go_out(device);
    return status;
}

static const filk_device_plan conv3d = {.create       = conv_create,
                                        .destroy      = plan_destroy,
                                        .workspace    = plan_workspace,
                                        .packed_bytes = plan_packed,
                                        .pack         = plan_pack,
                                        .run          = conv_run};

static const filk_device_plan linear = {.create       = linear_create,
                                        .destroy      = plan_destroy,
                                        .workspace    = plan_workspace,
                                        .packed_bytes = plan_packed,
                                        .pack         = plan_pack,
                                        .run          = linear_run};

static const filk_backend_kernels kernels = {
    .attn_fwd_bf16_sm90 = {some_workspace, attention_tma},
    .attn_fwd_bf16_mma  = {some_workspace, attention},
    .mass_bf16_mma      = {some_workspace, mass},
    .pooling            = {some_workspace, pooling},
    .norm               = {some_workspace, norm},
    .select             = {some_workspace, selection},
    .find_nonfinite     = {some_workspace, find_nonfinite},
    .gated_add          = {some_workspace, gated_add},
    .cast               = {some_workspace, cast},
    .double_frame       = {some_workspace, double_frame},
    .softmax            = {some_workspace, softmax},
    .linear             = &linear,
    .conv3d             = &conv3d,
};

extern const fili_backend                                 fil_backend_v1;
__attribute__((visibility("default"))) const fili_backend fil_backend_v1 = {
    .abi           = FILI_BACKEND_ABI,
    .struct_size   = sizeof(fili_backend),
    .name          = "fake",
    .count         = count,
    .open          = open_device,
    .close         = close_device,
    .error         = error_of,
    .stream        = stream_of,
    .alloc         = alloc,
    .free          = free_block,
    .pin           = pin,
    .unpin         = unpin,
    .owns          = owns,
    .copy          = copy,
    .fill          = fill,
    .sync          = sync_device,
    .scratch_take  = scratch_take,
    .scratch_reset = scratch_reset,
    .scratch_trim  = scratch_reset,
    .mark          = mark,
    .between       = between,
    .kernels       = &kernels,
};
