/* kernel/device_stage.h: lets a row of a device work on memory of the host.
 *
 * A pointer that the device owns is used in place. Any other is staged: its elements, and nothing
 * between or behind them, are copied to scratch memory of the device before the run; outputs come
 * back the same way, so that a byte which the contract does not name is neither read nor written.
 * A staged copy keeps the strides and the alignment of its original where the row takes them, so
 * that the row meets on the device what its caller has; else it is packed. Scratch memory is filled
 * with NaN first: a row that reads a gap shows.
 *
 *     filk_stage s;
 *     filk_stage_begin(&s, ctx);
 *     args.q = filk_stage_view(&s, ...);         each notes a failure and goes on
 *     args.out = filk_stage_out(&s, ...);
 *     if (s.status == FIL_OK) s.status = kernel(...);
 *     return filk_stage_end(&s, "attention");    copies back, waits if anything was staged
 *
 * If everything lies on the device the run is only queued, and nothing is waited for.
 */
#ifndef FILK_DEVICE_STAGE_H
#define FILK_DEVICE_STAGE_H

#include "kernel/attention.h"
#include "kernel/device_rows.h"

#define FILK_STAGE_OUTPUTS 6

/* The types that rows of a device compute with. */
static inline int filk_is_plain(fil_dtype dtype)
{
    return dtype == FIL_BF16 || dtype == FIL_F32;
}

/* n[0] x n[1] pieces of `bytes` bytes; piece (i, j) lies at base + i stride[0] + j stride[1]. */
typedef struct filk_stage_area {
    int64_t n[2];
    int64_t stride[2]; /* bytes, >= 0 */
    int64_t bytes;
} filk_stage_area;

typedef struct filk_stage_output {
    void           *host;
    void           *device;
    filk_stage_area on_host, on_device;
} filk_stage_output;

typedef struct filk_stage {
    fil_ctx          *ctx;
    fili_device      *device;
    fil_status        status; /* of the first failure */
    int32_t           staged; /* pieces of memory */
    int32_t           n_outputs;
    filk_stage_output output[FILK_STAGE_OUTPUTS];
} filk_stage;

void filk_stage_begin(filk_stage *s, fil_ctx *ctx);

/* One run of bytes; NULL stays NULL. */
const void *filk_stage_in(filk_stage *s, const void *host, size_t bytes);

/* An area. align: bytes that the base and every stride must be a multiple of (1: any). *area
 * becomes the layout on the device. */
const void *filk_stage_in_area(filk_stage *s, const void *host, filk_stage_area *area,
                               int64_t align);

/* A view [tokens, heads, D] of elements of `size` bytes; data NULL stays as it is. */
filk_attn_view filk_stage_view(filk_stage *s, const filk_attn_view *view, int64_t tokens,
                               int32_t heads, int32_t head_dim, int64_t size, int64_t align);

/* An output: copied back by end. with_content: it is an input too. */
void *filk_stage_out(filk_stage *s, void *host, size_t bytes);
void *filk_stage_out_area(filk_stage *s, void *host, filk_stage_area *area, int64_t align,
                          int with_content);

/* The caller's workspace if it lies on the device, else scratch memory. */
void *filk_stage_workspace(filk_stage *s, void *workspace, size_t bytes);

/* Copies outputs back if all went well. Returns the status; `what` begins the message. */
fil_status filk_stage_end(filk_stage *s, const char *what);

/* The area of a view [n[0], n[1], elements] whose strides count elements of `size` bytes. */
filk_stage_area filk_stage_area_of(int64_t n0, int64_t n1, int64_t stride0, int64_t stride1,
                                   int64_t elements, int64_t size);

#endif
