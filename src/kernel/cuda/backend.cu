/* kernel/cuda/backend.cu: the CUDA backend: devices, memory, copies, marks, and the table of rows
 * (base/device.h, kernel/device_rows.h). Nothing here computes.
 *
 * The runtime is linked statically and loads the driver itself; the tensor-map encoder comes from
 * the driver by the runtime's query, so that nothing links libcuda.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/cuda/cuda_device.h"

#define SCRATCH_FIRST ((size_t)32 << 20)
#define LINE          ((size_t)256)
#define TMA_VERSION   12000

static filk_cuda_device *device_of(void *device)
{
    return static_cast<filk_cuda_device *>(device);
}

/* The calling thread works on this device from here on. */
static fil_status enter(filk_cuda_device *d)
{
    return filk_cuda_check(&d->s, cudaSetDevice(d->s.device), "device");
}

static void *driver_entry(const char *name)
{
    void                           *entry = NULL;
    cudaDriverEntryPointQueryResult result;
    const cudaError_t               e =
        cudaGetDriverEntryPointByVersion(name, &entry, TMA_VERSION, cudaEnableDefault, &result);
    if (e != cudaSuccess) (void)cudaGetLastError();
    return e == cudaSuccess && result == cudaDriverEntryPointSuccess ? entry : NULL;
}

/* ---- devices -------------------------------------------------------------------------------- */

static int32_t count(char text[FILI_DEVICE_TEXT])
{
    int               n = 0;
    const cudaError_t e = cudaGetDeviceCount(&n);
    text[0]             = '\0';
    if (e == cudaSuccess && n > 0) return n;
    (void)cudaGetLastError();
    snprintf(text, FILI_DEVICE_TEXT, "%s",
             e == cudaSuccess ? "the driver lists no device" : cudaGetErrorString(e));
    return 0;
}

static cudaError_t describe(int32_t index, fili_device_info *info)
{
    cudaDeviceProp    p;
    size_t            free_bytes = 0;
    size_t            total      = 0;
    const cudaError_t e          = cudaGetDeviceProperties(&p, index);
    if (e != cudaSuccess) return e;
    snprintf(info->name, sizeof info->name, "%.95s", p.name);
    info->index          = index;
    info->arch           = p.major * 10 + p.minor;
    info->sms            = p.multiProcessorCount;
    const cudaError_t e2 = cudaMemGetInfo(&free_bytes, &total);
    info->bytes          = total;
    info->free_bytes     = free_bytes;
    return e2;
}

static void close_device(void *device)
{
    filk_cuda_device *d = device_of(device);
    if (d == NULL) return;
    if (enter(d) == FIL_OK && d->stream != NULL) (void)cudaStreamSynchronize(d->stream);
    filk_cuda_blas_close(d);
    for (int32_t i = 0; i < FILK_CUDA_MARKS; i++)
        if (d->mark[i] != NULL) (void)cudaEventDestroy(d->mark[i]);
    for (int32_t i = 0; i < d->n_chunks; i++)
        (void)cudaFree(d->chunk[i].base);
    for (int32_t i = 0; i < FILK_CUDA_TABLES; i++) {
        if (d->table[i].device != NULL) (void)cudaFree(d->table[i].device);
        free(d->table[i].host);
    }
    if (d->stream != NULL) (void)cudaStreamDestroy(d->stream);
    (void)cudaGetLastError();
    free(d);
}

static fil_status open_device(int32_t index, void **device, fili_device_info *info,
                              char text[FILI_DEVICE_TEXT])
{
    filk_cuda_device *d = static_cast<filk_cuda_device *>(calloc(1, sizeof *d));
    *device             = NULL;
    if (d == NULL) {
        snprintf(text, FILI_DEVICE_TEXT, "no host memory for it");
        return FIL_E_NOMEM;
    }
    d->s.error        = d->error;
    d->s.error_size   = sizeof d->error;
    d->s.device       = index;
    d->s.driver_entry = driver_entry;
    fil_status status = enter(d);
    if (status == FIL_OK)
        status = filk_cuda_check(
            &d->s, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking), "stream");
    if (status == FIL_OK) status = filk_cuda_check(&d->s, describe(index, info), "properties");
    if (status != FIL_OK) {
        snprintf(text, FILI_DEVICE_TEXT, "%s", d->error);
        close_device(d);
        return status;
    }
    d->s.stream = d->stream;
    d->s.sms    = info->sms;
    d->s.arch   = info->arch;
    *device     = d;
    return FIL_OK;
}

static const char *error_of(const void *device)
{
    return static_cast<const filk_cuda_device *>(device)->error;
}

static void *stream_of(const void *device)
{
    return static_cast<const filk_cuda_device *>(device)->stream;
}

/* ---- memory --------------------------------------------------------------------------------- */

static fil_status alloc(void *device, size_t bytes, void **out)
{
    filk_cuda_device *d = device_of(device);
    char              what[64];
    *out = NULL;
    if (bytes == 0) return FIL_OK;
    snprintf(what, sizeof what, "%zu bytes of the device", bytes);
    const fil_status status = enter(d);
    return status == FIL_OK ? filk_cuda_check(&d->s, cudaMalloc(out, bytes), what) : status;
}

static void free_block(void *device, void *block)
{
    if (block != NULL && enter(device_of(device)) == FIL_OK) (void)cudaFree(block);
}

/* Refused where the system locks no more memory for us: then copies go as they did. */
static fil_status pin(void *device, void *block, size_t bytes)
{
    filk_cuda_device *d = device_of(device);
    if (enter(d) != FIL_OK) return FIL_E_DEVICE;
    if (cudaHostRegister(block, bytes, cudaHostRegisterDefault) == cudaSuccess) return FIL_OK;
    (void)cudaGetLastError();
    return FIL_E_NOMEM;
}

static void unpin(void *device, void *block)
{
    filk_cuda_device *d = device_of(device);
    if (enter(d) != FIL_OK) return;
    (void)cudaStreamSynchronize(d->stream); /* a copy may still read it */
    (void)cudaHostUnregister(block);
    (void)cudaGetLastError();
}

static int owns(void *device, const void *p)
{
    cudaPointerAttributes a;
    filk_cuda_device     *d = device_of(device);
    if (enter(d) != FIL_OK) return 0;
    if (cudaPointerGetAttributes(&a, p) != cudaSuccess) {
        (void)cudaGetLastError();
        return 0;
    }
    return a.type == cudaMemoryTypeManaged ||
           (a.type == cudaMemoryTypeDevice && a.device == d->s.device);
}

static fil_status copy(void *device, const fili_copy_rect *r)
{
    static const cudaMemcpyKind ways[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                          cudaMemcpyDeviceToDevice};
    filk_cuda_device           *d      = device_of(device);
    cudaError_t                 e;
    fil_status                  status = enter(d);
    if (status != FIL_OK || r->rows == 0 || r->row_bytes == 0) return status;
    if (r->rows == 1)
        e = cudaMemcpyAsync(r->dst, r->src, r->row_bytes, ways[r->way], d->stream);
    else
        e = cudaMemcpy2DAsync(r->dst, r->dst_pitch, r->src, r->src_pitch, r->row_bytes, r->rows,
                              ways[r->way], d->stream);
    status = filk_cuda_check(&d->s, e, "copy");
    if (status == FIL_OK && r->way == FILI_COPY_TO_HOST)
        status = filk_cuda_check(&d->s, cudaStreamSynchronize(d->stream), "copy to the host");
    return status;
}

static fil_status fill(void *device, void *dst, int byte, size_t bytes)
{
    filk_cuda_device *d      = device_of(device);
    const fil_status  status = enter(d);
    if (status != FIL_OK || bytes == 0) return status;
    return filk_cuda_check(&d->s, cudaMemsetAsync(dst, byte, bytes, d->stream), "fill");
}

static fil_status sync(void *device)
{
    filk_cuda_device *d      = device_of(device);
    const fil_status  status = enter(d);
    return status == FIL_OK
               ? filk_cuda_check(&d->s, cudaStreamSynchronize(d->stream), "queued work")
               : status;
}

/* ---- scratch -------------------------------------------------------------------------------- */

static void scratch_reset(void *device)
{
    filk_cuda_device *d = device_of(device);
    d->current          = 0;
    d->bump             = 0;
}

static void scratch_trim(void *device)
{
    filk_cuda_device *d = device_of(device);
    if (enter(d) != FIL_OK || cudaStreamSynchronize(d->stream) != cudaSuccess) return;
    for (int32_t i = 0; i < d->n_chunks; i++)
        (void)cudaFree(d->chunk[i].base);
    d->n_chunks = 0;
    scratch_reset(device);
}

static fil_status add_chunk(filk_cuda_device *d, size_t bytes)
{
    size_t all  = SCRATCH_FIRST;
    void  *base = NULL;
    for (int32_t i = 0; i < d->n_chunks; i++)
        all += d->chunk[i].bytes;
    if (d->n_chunks == FILK_CUDA_CHUNKS) {
        snprintf(d->error, sizeof d->error, "scratch memory is in %d pieces", FILK_CUDA_CHUNKS);
        return FIL_E_NOMEM_DEV;
    }
    fil_status status = FIL_E_NOMEM_DEV;
    if (bytes < all) status = alloc(d, all, &base); /* doubling, if there is room for it */
    if (status == FIL_OK) bytes = all;
    if (status != FIL_OK) status = alloc(d, bytes, &base);
    if (status != FIL_OK) return status;
    d->chunk[d->n_chunks].base    = static_cast<char *>(base);
    d->chunk[d->n_chunks++].bytes = bytes;
    return FIL_OK;
}

static fil_status scratch_take(void *device, size_t bytes, void **out)
{
    filk_cuda_device *d    = device_of(device);
    const size_t      want = (bytes + LINE - 1) & ~(LINE - 1);
    *out                   = NULL;
    for (;;) {
        if (d->current == d->n_chunks) {
            const fil_status status = add_chunk(d, want);
            if (status != FIL_OK) return status;
        }
        filk_cuda_chunk *c = &d->chunk[d->current];
        if (c->bytes - d->bump >= want) {
            *out = c->base + d->bump;
            d->bump += want;
            return FIL_OK;
        }
        d->current++;
        d->bump = 0;
    }
}

/* ---- tables --------------------------------------------------------------------------------- */

static fil_status grow_table(filk_cuda_device *d, filk_cuda_table *t, size_t n)
{
    void *block = NULL;
    if (t->room >= n) return FIL_OK;
    if (t->device != NULL) (void)cudaFree(t->device);
    free(t->host);
    t->device               = NULL;
    t->room                 = 0;
    t->n                    = 0;
    t->host                 = static_cast<int32_t *>(malloc(n * sizeof(int32_t)));
    const fil_status status = alloc(d, n * sizeof(int32_t), &block);
    t->device               = static_cast<int32_t *>(block);
    if (status != FIL_OK || t->host == NULL) return status != FIL_OK ? status : FIL_E_NOMEM;
    t->room = n;
    return FIL_OK;
}

fil_status filk_cuda_table_of(filk_cuda_device *d, const int32_t *host, size_t n,
                              const int32_t **out)
{
    const size_t     bytes  = n * sizeof(int32_t);
    filk_cuda_table *oldest = &d->table[0];
    d->clock++;
    for (int32_t i = 0; i < FILK_CUDA_TABLES; i++) {
        filk_cuda_table *t = &d->table[i];
        if (t->used < oldest->used) oldest = t;
        if (t->n != n || memcmp(t->host, host, bytes) != 0) continue;
        t->used = d->clock;
        *out    = t->device;
        return FIL_OK;
    }
    /* Queued work may still read the one that makes room; the copy comes behind it. Only a larger
     * block is a new one, and freeing the old waits for the device. */
    fil_status status = enter(d);
    if (status == FIL_OK) status = grow_table(d, oldest, n);
    if (status == FIL_OK) {
        memcpy(oldest->host, host, bytes);
        status = filk_cuda_check(
            &d->s,
            cudaMemcpyAsync(oldest->device, oldest->host, bytes, cudaMemcpyHostToDevice, d->stream),
            "table");
    }
    oldest->n    = status == FIL_OK ? n : 0;
    oldest->used = d->clock;
    *out         = oldest->device;
    return status;
}

/* ---- marks ---------------------------------------------------------------------------------- */

static fil_status mark(void *device, int32_t n)
{
    filk_cuda_device *d      = device_of(device);
    fil_status        status = enter(d);
    if (status == FIL_OK && d->mark[n] == NULL)
        status = filk_cuda_check(&d->s, cudaEventCreate(&d->mark[n]), "event");
    return status == FIL_OK
               ? filk_cuda_check(&d->s, cudaEventRecord(d->mark[n], d->stream), "event")
               : status;
}

static fil_status between(void *device, int32_t from, int32_t to, double *seconds)
{
    filk_cuda_device *d      = device_of(device);
    float             ms     = 0.0f;
    fil_status        status = enter(d);
    if (status == FIL_OK)
        status = filk_cuda_check(&d->s, cudaEventSynchronize(d->mark[to]), "queued work");
    if (status == FIL_OK)
        status =
            filk_cuda_check(&d->s, cudaEventElapsedTime(&ms, d->mark[from], d->mark[to]), "event");
    *seconds = 1e-3 * (double)ms;
    return status;
}

/* ---- attention's rows: the tables of both sides --------------------------------------------- */

static size_t attn_sm90_workspace(const void *problem)
{
    return filk_cuda_attn_fwd_sm90_workspace(static_cast<const filk_attn_problem *>(problem));
}

static size_t no_workspace(const void *problem)
{
    (void)problem;
    return 0;
}

struct both_tables {
    const int32_t *q, *k;
};

static fil_status tables_of(filk_cuda_device *d, const filk_attn_problem *p, both_tables *t)
{
    const fil_status status = filk_cuda_table_of(d, p->q_offset, (size_t)p->mq + 1, &t->q);
    if (status != FIL_OK) return status;
    return filk_cuda_table_of(d, p->k_offset, (size_t)p->mk + 1, &t->k);
}

static fil_status attn_sm90_run(void *device, const void *problem, const void *args,
                                void *workspace)
{
    filk_cuda_device        *d = device_of(device);
    const filk_attn_problem *p = static_cast<const filk_attn_problem *>(problem);
    both_tables              t;
    const fil_status         status = tables_of(d, p, &t);
    if (status != FIL_OK) return status;
    return filk_cuda_attn_fwd_sm90_run(&d->s, p, static_cast<const filk_attn_args *>(args), t.q,
                                       t.k, workspace);
}

static fil_status attn_mma_run(void *device, const void *problem, const void *args, void *workspace)
{
    filk_cuda_device        *d = device_of(device);
    const filk_attn_problem *p = static_cast<const filk_attn_problem *>(problem);
    both_tables              t;
    const fil_status         status = tables_of(d, p, &t);
    (void)workspace;
    if (status != FIL_OK) return status;
    return filk_cuda_attn_fwd_mma_run(&d->s, p, static_cast<const filk_attn_args *>(args), t.q,
                                      t.k);
}

/* ---- the tables ----------------------------------------------------------------------------- */

static const filk_backend_kernels kernels = {
    {attn_sm90_workspace, attn_sm90_run},
    {no_workspace, attn_mma_run},
    {no_workspace, filk_cuda_mass_run},
    {no_workspace, filk_cuda_pooling_run},
    {no_workspace, filk_cuda_norm_run},
    {filk_cuda_select_workspace, filk_cuda_select_run},
    {no_workspace, filk_cuda_find_nonfinite_run},
    {no_workspace, filk_cuda_gated_add_run},
    {no_workspace, filk_cuda_cast_run},
    {no_workspace, filk_cuda_double_run},
    {no_workspace, filk_cuda_softmax_run},
    &filk_cuda_linear,
    &filk_cuda_conv3d,
};

extern "C" __attribute__((visibility("default"))) const fili_backend fil_backend_v1;
extern "C" const fili_backend                                        fil_backend_v1 = {
                                           FILI_BACKEND_ABI,
                                           (uint32_t)sizeof(fili_backend),
                                           "cuda",
                                           count,
                                           open_device,
                                           close_device,
                                           error_of,
                                           stream_of,
                                           alloc,
                                           free_block,
                                           pin,
                                           unpin,
                                           owns,
                                           copy,
                                           fill,
                                           sync,
                                           scratch_take,
                                           scratch_reset,
                                           scratch_trim,
                                           mark,
                                           between,
                                           &kernels,
};
