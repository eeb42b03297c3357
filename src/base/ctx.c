/* base/ctx.c: opening and closing a context, its options and limits (filigree.h).
 * Errors and logging: error.c. Memory: mem.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "base/device.h"
#include "base/mem.h"

#define MAX_THREADS 1024

/* Weights, activations and workspaces are read from end to end again and again: with pages of 4 KiB
 * each row of a head costs a look-up of its page. Blocks that hold a large page begin on one. */
#define LARGE_PAGE ((size_t)2 << 20)

static void *default_alloc(void *user, size_t bytes, size_t align)
{
    const fili_os *os = user;
    if (bytes >= LARGE_PAGE) align = LARGE_PAGE;
    const size_t whole = (bytes + align - 1) & ~(align - 1); /* aligned_alloc wants a multiple */
    void        *p     = whole < bytes ? NULL : aligned_alloc(align, whole);
    if (p != NULL && bytes >= LARGE_PAGE) os->prefer_large_pages(os->self, p, bytes);
    return p;
}

static void default_free(void *user, void *block, size_t bytes)
{
    (void)user;
    (void)bytes;
    free(block);
}

static const fil_limits default_limits = {
    .header_bytes   = 64ull << 20,
    .tensors        = 65536,
    .name_bytes     = 512,
    .metadata_bytes = 1ull << 20,
    .metadata_pairs = 4096,
    .shards         = 1024,
};

void fil_options_init(fil_options *opt)
{
    memset(opt, 0, sizeof *opt);
    opt->struct_size = (uint32_t)sizeof *opt;
    opt->limits      = default_limits;
}

/* Copies the caller's options over the defaults. A caller built against an older header has a
 * shorter struct: what it does not know keeps its default. A longer one must end in zeros. */
static fil_status take_options(fil_options *dst, const fil_options *src)
{
    fil_options_init(dst);
    if (src == NULL) return FIL_OK;
    const size_t size = src->struct_size;
    FIL_CHECK(NULL, size >= offsetof(fil_options, limits) && size <= 65536,
              "fil_options.struct_size is %zu; fil_options_init sets it to %zu", size, sizeof *dst);
    for (size_t i = sizeof *dst; i < size; i++)
        if (((const unsigned char *)src)[i] != 0)
            return FIL_FAIL(NULL, FIL_E_UNSUP,
                            "fil_options has a field that version %s does not know (byte %zu)",
                            FIL_VERSION_STRING, i);
    memcpy(dst, src, size < sizeof *dst ? size : sizeof *dst);
    dst->struct_size = (uint32_t)sizeof *dst;
    return FIL_OK;
}

static fil_status check_options(const fil_options *opt)
{
    const fil_limits *l = &opt->limits;
    FIL_CHECK(NULL, opt->n_threads >= 0 && opt->n_threads <= MAX_THREADS,
              "n_threads is %d; expected 0 (automatic) to %d", opt->n_threads, MAX_THREADS);
    FIL_CHECK(NULL, (opt->host.alloc == NULL) == (opt->host.free == NULL),
              "fil_allocator has one function; expected both or neither");
    FIL_CHECK(NULL,
              l->header_bytes >= 16 && l->header_bytes <= 1ull << 32 && l->tensors <= 1u << 24 &&
                  l->name_bytes <= 65536 && l->metadata_bytes <= 1ull << 30 &&
                  l->metadata_pairs <= 1u << 24 && l->shards <= 65536,
              "a limit is out of range; header_bytes 16 to 2^32, tensors and metadata_pairs to "
              "2^24, name_bytes and shards to 65536, metadata_bytes to 2^30");
    return FIL_OK;
}

static fil_status choose_isa(const fili_os *os, fili_isa *out)
{
    const fili_isa have = fili_cpu_isa(os);
    const char    *want = os->getenv(os->self, "FIL_ISA");
    *out                = have;
    if (want == NULL || want[0] == '\0') return FIL_OK;
    const int isa = fili_isa_from_name(want);
    FIL_CHECK(NULL, isa >= 0,
              "FIL_ISA is '%.40s'; expected ref, avx2, avx512, avx512bf16, amx or neon", want);
    if (!fili_isa_has(have, (fili_isa)isa))
        return FIL_FAIL(NULL, FIL_E_UNSUP, "FIL_ISA is '%s'; this CPU has %s", want,
                        fili_isa_name(have));
    *out = (fili_isa)isa;
    return FIL_OK;
}

/* FIL_DEVICE holds where the option does not say. -1: the CPU. */
static fil_status choose_device(const fili_os *os, const fil_options *opt, int32_t *index)
{
    const char *want = opt->device;
    *index           = -1;
    if (want == NULL) {
        want = os->getenv(os->self, "FIL_DEVICE");
        if (want == NULL || want[0] == '\0') return FIL_OK;
    }
    FIL_CHECK(NULL, fili_device_parse(want, index),
              "%s is '%.40s'; expected cpu, cuda, or cuda:0 and so on",
              opt->device != NULL ? "device" : "FIL_DEVICE", want);
    return FIL_OK;
}

fil_status fili_ctx_open_on(const fili_os *os, fil_ctx **out, const fil_options *opt)
{
    fil_options options;
    fili_isa    isa;
    int32_t     device;
    FIL_CHECK(NULL, out != NULL, "fil_ctx_open: out is NULL");
    *out = NULL;
    FIL_TRY(take_options(&options, opt));
    FIL_TRY(check_options(&options));
    FIL_TRY(choose_isa(os, &isa));
    FIL_TRY(choose_device(os, &options, &device));
    options.device = NULL; /* borrowed no longer */
    if (options.host.alloc == NULL) {
        options.host.alloc = default_alloc;
        options.host.free  = default_free;
        options.host.user  = fili_writable(os); /* read only */
    }
    fil_ctx *ctx = options.host.alloc(options.host.user, sizeof *ctx, _Alignof(fil_ctx));
    if (ctx == NULL)
        return FIL_FAIL(NULL, FIL_E_NOMEM, "context: the allocator has no %zu bytes", sizeof *ctx);
    memset(ctx, 0, sizeof *ctx);
    ctx->os           = os;
    ctx->opt          = options;
    ctx->memory.limit = options.max_host_bytes;
    ctx->isa          = isa;
    ctx->n_threads    = options.n_threads > 0 ? options.n_threads : fili_default_threads(os);
    const fil_status status =
        device < 0 ? FIL_OK : fili_device_open(os, &options.host, device, &ctx->device);
    if (status != FIL_OK) {
        options.host.free(options.host.user, ctx, sizeof *ctx);
        return status;
    }
    if (ctx->device != NULL) {
        const uint64_t there     = ctx->device->info.free_bytes;
        const uint64_t wanted    = options.max_device_bytes;
        ctx->device_memory.limit = wanted > 0 && wanted < there ? wanted : there;
    }
    fili_ctx_enter(ctx);
    *out = ctx;
    return FIL_OK;
}

fil_status fil_ctx_open(fil_ctx **out, const fil_options *opt)
{
    return fili_ctx_open_on(&fili_os_posix, out, opt);
}

void fil_ctx_close(fil_ctx **ctx)
{
    if (ctx == NULL || *ctx == NULL) return;
    const fil_allocator host = (*ctx)->opt.host;
    fili_device_close(&host, &(*ctx)->device);
    host.free(host.user, *ctx, sizeof **ctx);
    *ctx = NULL;
}

void fili_ctx_enter(fil_ctx *ctx)
{
    fil_error *e  = &ctx->error;
    e->status     = FIL_OK;
    e->n_frames   = 0;
    e->function   = "";
    e->file       = "";
    e->line       = 0;
    e->message[0] = '\0';
    ctx->unit     = (fil_progress){.phase = NULL};
}

const fil_error *fil_ctx_error(const fil_ctx *ctx)
{
    return ctx != NULL ? &ctx->error : fili_thread_error();
}

int32_t fil_ctx_threads(const fil_ctx *ctx)
{
    return ctx->n_threads;
}
const char *fil_ctx_isa(const fil_ctx *ctx)
{
    return fili_isa_name(ctx->isa);
}
const char *fil_ctx_device(const fil_ctx *ctx)
{
    return ctx->device != NULL ? ctx->device->label : "cpu";
}

fil_memory fil_ctx_device_memory(const fil_ctx *ctx)
{
    return ctx != NULL ? ctx->device_memory : (fil_memory){.used = 0};
}

fil_memory fil_ctx_memory(const fil_ctx *ctx)
{
    return ctx->memory;
}

fil_status fili_check_cancel(fil_ctx *ctx)
{
    if (ctx->opt.cancel != NULL && ctx->opt.cancel(ctx->opt.user) != 0)
        return FIL_FAIL(ctx, FIL_E_CANCELLED, "cancelled by the caller");
    return FIL_OK;
}

void fili_progress(fil_ctx *ctx, const char *phase, uint64_t done, uint64_t total)
{
    ctx->unit = (fil_progress){.phase = phase, .done = done, .total = total};
    if (ctx->opt.progress != NULL) ctx->opt.progress(ctx->opt.user, &ctx->unit);
}

void fili_progress_part(fil_ctx *ctx, uint64_t part, uint64_t parts)
{
    if (ctx->unit.phase == NULL || ctx->unit.done >= ctx->unit.total) return;
    ctx->unit.part  = part;
    ctx->unit.parts = parts;
    if (ctx->opt.progress != NULL) ctx->opt.progress(ctx->opt.user, &ctx->unit);
}
