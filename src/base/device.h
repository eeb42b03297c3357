/* base/device.h: an accelerator of a context, behind a backend that is loaded when it is asked for.
 *
 * A backend is a shared object of its own (src/kernel/cuda builds libfiligree-cuda.so) that shows
 * one symbol, fil_backend_v1, a table of functions. Nothing of it is linked: a program on a machine
 * without a GPU, or without the vendor's driver, runs as ever. Once loaded it stays for the life of
 * the process, as the vendor's runtime cannot be unloaded safely.
 * Which functions compute something is the business of kernel/device_rows.h; base hands the table
 * on without looking into it.
 */
#ifndef FILI_BASE_DEVICE_H
#define FILI_BASE_DEVICE_H

#include "base/ctx.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FILI_BACKEND_SYMBOL "fil_backend_v1"
#define FILI_BACKEND_ABI    5     /* another one for each change here or in kernel/device_rows.h */
#define FILI_DEVICE_TEXT    256   /* bytes of an error's text */
#define FILI_DEVICE_PAGE    65536 /* a multiple of the pages that memory is pinned by */

typedef struct fili_device_info {
    char     name[96];
    int32_t  index;
    int32_t  arch; /* 10 major + minor: 90 for Hopper */
    int32_t  sms;  /* multiprocessors */
    uint64_t bytes, free_bytes;
} fili_device_info;

typedef enum fili_copy { FILI_COPY_TO_DEVICE, FILI_COPY_TO_HOST, FILI_COPY_ON_DEVICE } fili_copy;

/* rows x row_bytes. Pitches in bytes, >= row_bytes where there is more than one row. */
typedef struct fili_copy_rect {
    void       *dst;
    const void *src;
    size_t      dst_pitch, src_pitch;
    size_t      row_bytes, rows;
    fili_copy   way;
} fili_copy_rect;

/* `device` is what open gave. One thread at a time for each device; failures leave their text in
 * error(). Work and copies go to one stream, in order. Copies to the host have finished when they
 * return; all else may still run, and read memory of the host that is copied from, until sync. */
typedef struct fili_backend {
    uint32_t    abi;         /* FILI_BACKEND_ABI */
    uint32_t    struct_size; /* sizeof(fili_backend) */
    const char *name;        /* "cuda" */

    /* Devices of the machine; a failure is 0 devices and its reason in text. */
    int32_t (*count)(char text[FILI_DEVICE_TEXT]);
    fil_status (*open)(int32_t index, void **device, fili_device_info *info,
                       char text[FILI_DEVICE_TEXT]);
    void (*close)(void *device);
    const char *(*error)(const void *device);
    /* The stream that the device works on (a cudaStream_t). */
    void *(*stream)(const void *device);

    fil_status (*alloc)(void *device, size_t bytes, void **out); /* aligned to 256 */
    void (*free)(void *device, void *block);
    /* Keeps memory of the host where it is, so that copies from and to it are the fastest: whole
     * pages, which nothing else that is copied shares. E_NOMEM where the system does not let it;
     * E_DEVICE. Unpinning waits for what is queued. */
    fil_status (*pin)(void *device, void *block, size_t bytes);
    void (*unpin)(void *device, void *block);
    /* 1 if p is memory that the device's kernels reach at full speed. */
    int (*owns)(void *device, const void *p);
    fil_status (*copy)(void *device, const fili_copy_rect *rect);
    fil_status (*fill)(void *device, void *dst, int byte, size_t bytes);
    fil_status (*sync)(void *device);

    /* Scratch memory of the device: taken piece by piece, given back at once, kept for the next
     * time. It grows while a size is new. Aligned to 256. */
    fil_status (*scratch_take)(void *device, size_t bytes, void **out);
    void (*scratch_reset)(void *device);
    /* Gives all of it back to the device, behind what is queued. */
    void (*scratch_trim)(void *device);

    /* Timing: a mark in the stream, n = 0 to 15; seconds between two marks, waiting for them. */
    fil_status (*mark)(void *device, int32_t n);
    fil_status (*between)(void *device, int32_t from, int32_t to, double *seconds);

    const void *kernels; /* const filk_backend_kernels * (kernel/device_rows.h) */
} fili_backend;

typedef struct fili_device {
    const fili_backend *backend;
    void               *handle;
    fili_device_info    info;
    fili_isa            isa;
    char                label[128]; /* "cuda:0 NVIDIA H100 80GB HBM3" */
} fili_device;

/* What a device option says: "cpu" (index -1), "cuda" (index 0), "cuda:N". 0 if it says neither. */
int fili_device_parse(const char *text, int32_t *index);

/* Opens device `index` for a context that is being opened: failures have no context. E_UNSUP: no
 * backend, or no such device; E_DEVICE. */
FIL_MUSTCHECK fil_status fili_device_open(const fili_os *os, const fil_allocator *host,
                                          int32_t index, fili_device **out);
void                     fili_device_close(const fil_allocator *host, fili_device **device);

/* The backend of this process, NULL while none is loaded. */
const fili_backend *fili_backend_loaded(void);

/* Memory of the context's device for what stays there, aligned to 256; *out NULL for 0 bytes.
 * E_NOMEM_DEV: more than fili_device_room, or than there is; `what` begins the message. */
FIL_MUSTCHECK fil_status fili_device_alloc(fil_ctx *ctx, uint64_t bytes, const char *what,
                                           void **out);
/* `bytes` as it was asked for. NULL is accepted. */
void fili_device_free(fil_ctx *ctx, void *block, uint64_t bytes);
/* Bytes that fili_device_alloc has left. */
uint64_t fili_device_room(const fil_ctx *ctx);
/* Pins memory of the host for the context's device, where the system lets it: 1 if it did, and then
 * fili_device_unpin comes before the memory goes. Base and size are multiples of
 * FILI_DEVICE_PAGE. */
int  fili_device_pin(fil_ctx *ctx, void *block, uint64_t bytes);
void fili_device_unpin(fil_ctx *ctx, void *block);
/* The limit under which there is room for so many bytes in all. */
uint64_t fili_device_limit_for(uint64_t bytes);

/* FIL_FAIL with the device's own words behind `what`; FIL_OK passes through. */
fil_status fili_device_check(fil_ctx *ctx, fil_status status, const char *what);

#ifdef __cplusplus
}
#endif

#endif
