/* base/device.c: loading a backend and opening its devices (device.h).
 *
 * FIL_CUDA_BACKEND in the environment names the file to load instead of the installed one: for a
 * build that is not installed, and for tests that put a backend on the CPU in its place.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/device.h"

#define BACKEND_FILE "libfiligree-cuda.so.0"
#define MAX_INDEX    63

static _Atomic(const fili_backend *) loaded;

const fili_backend *fili_backend_loaded(void)
{
    return atomic_load(&loaded);
}

int fili_device_parse(const char *text, int32_t *index)
{
    char *end;
    *index = strcmp(text, "cpu") == 0 ? -1 : 0;
    if (*index < 0 || strcmp(text, "cuda") == 0) return 1;
    if (strncmp(text, "cuda:", 5) != 0 || text[5] < '0' || text[5] > '9') return 0;
    const unsigned long n = strtoul(text + 5, &end, 10);
    if (*end != '\0' || n > MAX_INDEX) return 0;
    *index = (int32_t)n;
    return 1;
}

static fil_status load(const fili_os *os, const fili_backend **out)
{
    const char *why  = "";
    const char *file = os->getenv(os->self, "FIL_CUDA_BACKEND");
    *out             = fili_backend_loaded();
    if (*out != NULL) return FIL_OK;
    if (file == NULL || file[0] == '\0') file = BACKEND_FILE;
    void *library = os->library_open(os->self, file, &why);
    if (library == NULL)
        return FIL_FAIL(NULL, FIL_E_UNSUP,
                        "a CUDA device was asked for, but the CUDA backend was not loaded: %s; "
                        "build it with ./run build cuda",
                        why);
    const fili_backend *b = os->library_symbol(os->self, library, FILI_BACKEND_SYMBOL);
    if (b == NULL)
        return FIL_FAIL(NULL, FIL_E_UNSUP, "%.160s is no backend: it has no %s", file,
                        FILI_BACKEND_SYMBOL);
    if (b->abi != FILI_BACKEND_ABI || b->struct_size != sizeof *b)
        return FIL_FAIL(
            NULL, FIL_E_UNSUP,
            "%.160s is of another version: interface %u of %u bytes, expected %u of %zu", file,
            b->abi, b->struct_size, FILI_BACKEND_ABI, sizeof *b);
    atomic_store(&loaded, b);
    *out = b;
    return FIL_OK;
}

/* Levels of devices: sm90 is Hopper alone (its kernels use instructions that later chips lack),
 * sm80 every chip from Ampere on. */
static fili_isa level_of(int32_t arch)
{
    if (arch == 90) return FILI_ISA_SM90;
    return arch >= 80 ? FILI_ISA_SM80 : FILI_ISA_REF;
}

static fil_status open_on(const fili_backend *b, int32_t index, fili_device *d)
{
    char          text[FILI_DEVICE_TEXT];
    const int32_t n = b->count(text);
    if (n <= 0)
        return FIL_FAIL(NULL, FIL_E_UNSUP, "a CUDA device was asked for, but there is none: %s",
                        text);
    if (index >= n)
        return FIL_FAIL(NULL, FIL_E_UNSUP, "device cuda:%d was asked for; this machine has %d",
                        index, n);
    const fil_status status = b->open(index, &d->handle, &d->info, text);
    if (status != FIL_OK)
        return FIL_FAIL(NULL, status, "device cuda:%d could not be opened: %s", index, text);
    d->backend = b;
    d->isa     = level_of(d->info.arch);
    snprintf(d->label, sizeof d->label, "%s:%d %s", b->name, index, d->info.name);
    return FIL_OK;
}

fil_status fili_device_open(const fili_os *os, const fil_allocator *host, int32_t index,
                            fili_device **out)
{
    const fili_backend *b;
    *out = NULL;
    FIL_TRY(load(os, &b));
    fili_device *d = host->alloc(host->user, sizeof *d, _Alignof(fili_device));
    if (d == NULL)
        return FIL_FAIL(NULL, FIL_E_NOMEM, "device: the allocator has no %zu bytes", sizeof *d);
    memset(d, 0, sizeof *d);
    const fil_status status = open_on(b, index, d);
    if (status != FIL_OK) {
        host->free(host->user, d, sizeof *d);
        return status;
    }
    *out = d;
    return FIL_OK;
}

void fili_device_close(const fil_allocator *host, fili_device **device)
{
    if (*device == NULL) return;
    (*device)->backend->close((*device)->handle);
    host->free(host->user, *device, sizeof **device);
    *device = NULL;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* For scratch memory and what the vendor's libraries take: an eighth, at most 256 MiB. */
#define ASIDE ((uint64_t)256 << 20)

uint64_t fili_device_room(const fil_ctx *ctx)
{
    const fil_memory *m     = &ctx->device_memory;
    const uint64_t    aside = m->limit / 8 < ASIDE ? m->limit / 8 : ASIDE;
    return m->limit - aside > m->used ? m->limit - aside - m->used : 0;
}

uint64_t fili_device_limit_for(uint64_t bytes)
{
    const uint64_t aside = bytes / 7 + 1; /* an eighth of both */
    return bytes + (aside < ASIDE ? aside : ASIDE);
}

fil_status fili_device_alloc(fil_ctx *ctx, uint64_t bytes, const char *what, void **out)
{
    const fili_device *d    = ctx->device;
    fil_memory        *m    = &ctx->device_memory;
    const uint64_t     room = fili_device_room(ctx);
    *out                    = NULL;
    if (bytes > room || bytes > SIZE_MAX)
        return FIL_FAIL(ctx, FIL_E_NOMEM_DEV,
                        "%s needs %llu bytes of the device's memory; %llu of %llu are left for it",
                        what, (unsigned long long)bytes, (unsigned long long)room,
                        (unsigned long long)m->limit);
    d->backend->scratch_trim(d->handle); /* what earlier phases needed */
    FIL_TRY(fili_device_check(ctx, d->backend->alloc(d->handle, (size_t)bytes, out), what));
    m->used += bytes;
    if (m->used > m->peak) m->peak = m->used;
    return FIL_OK;
}

void fili_device_free(fil_ctx *ctx, void *block, uint64_t bytes)
{
    const fili_device *d = ctx->device;
    if (block == NULL) return;
    d->backend->free(d->handle, block);
    ctx->device_memory.used -= bytes;
}

int fili_device_pin(fil_ctx *ctx, void *block, uint64_t bytes)
{
    const fili_device *d = ctx->device;
    return d->backend->pin(d->handle, block, (size_t)bytes) == FIL_OK;
}

void fili_device_unpin(fil_ctx *ctx, void *block)
{
    const fili_device *d = ctx->device;
    d->backend->unpin(d->handle, block);
}

fil_status fili_device_check(fil_ctx *ctx, fil_status status, const char *what)
{
    const fili_device *d = ctx->device;
    if (status == FIL_OK) return FIL_OK;
    return FIL_FAIL(ctx, status, "%s: %s", what, d->backend->error(d->handle));
}
