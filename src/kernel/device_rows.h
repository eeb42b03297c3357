/* kernel/device_rows.h: what a backend computes: one entry per row of the families' lists.
 *
 * problem and args are those of the family's contract header, but every pointer in args is memory
 * of the device; what a problem points to (offsets of blocks) stays on the host, and the backend
 * keeps copies of such tables on the device, found again by their content. Exceptions are named
 * below. Work is queued on the device's stream: an entry returns before it is done, and allocates
 * nothing. E_DEVICE and the device's error text where the launch is refused; what goes wrong later
 * shows at the next copy to the host or sync.
 */
#ifndef FILK_DEVICE_ROWS_H
#define FILK_DEVICE_ROWS_H

#include "base/device.h"
#include "filigree/file.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct filk_device_row {
    size_t (*workspace)(const void *problem); /* bytes of the device */
    fil_status (*run)(void *device, const void *problem, const void *args, void *workspace);
} filk_device_row;

typedef struct filk_device_plan {
    fil_status (*create)(void *device, const void *problem, void **plan);
    void (*destroy)(void *device, void *plan);
    size_t (*workspace)(const void *plan);
    size_t (*packed_bytes)(const void *plan);
    fil_status (*pack)(void *device, const void *plan, const void *weight, void *packed,
                       void *workspace);
    fil_status (*run)(void *device, const void *plan, const void *args, void *workspace);
} filk_device_plan;

/* Which of x[n] is the first NaN or infinity: *at, n if there is none. */
typedef struct filk_find_problem {
    int64_t n;
} filk_find_problem;

typedef struct filk_find_args {
    const float *x;
    int64_t     *at;
} filk_find_args;

/* out[i] += gate[i] * coarse[run of i], element by element: in f32, rounded once. Where the gate is
 * 0, out stays as it is to the bit. `offset` is a table of the host. */
typedef struct filk_gated_problem {
    fil_dtype      dtype;  /* of gate and out: BF16 or F32 */
    const int32_t *offset; /* [m + 1] where each run begins, rising from 0 */
    int32_t        m;
    int64_t        cols;
} filk_gated_problem;

typedef struct filk_gated_args {
    const void  *gate;   /* [offset[m], cols] */
    const float *coarse; /* [m, cols] */
    void        *out;    /* [offset[m], cols] */
} filk_gated_args;

/* x [n] f32 as dtype (BF16 or F32). */
typedef struct filk_cast_problem {
    int64_t   n;
    fil_dtype dtype;
} filk_cast_problem;

typedef struct filk_cast_args {
    const float *x;
    void        *out;
} filk_cast_args;

/* Pixel (y, x) of a frame [h, w, c] becomes pixel (2 y + part / 2, 2 x + part % 2) of one that is
 * twice as high and wide; what lies between stays. */
typedef struct filk_double_problem {
    int32_t h, w, c, part;
} filk_double_problem;

typedef struct filk_double_args {
    const float *from;
    float       *to;
} filk_double_args;

/* Rows of n in place: softmax of scale x. NaN of a row stays in it. */
typedef struct filk_softmax_problem {
    int64_t rows, n;
    float   scale;
} filk_softmax_problem;

typedef struct filk_softmax_args {
    float *x;
} filk_softmax_args;

/* One output frame of a convolution (kernel/conv3d.h) that writes f32. Its plan is made from the
 * problem as it is; weights are [C_out, C_in, kt, kh, kw] for pack. */
enum { FILK_DEVICE_FRAMES = 8 };

typedef struct filk_device_conv_args {
    const void  *frame[FILK_DEVICE_FRAMES]; /* the window's, each [H, W, C_in]; NULL: zeros */
    const void  *packed;
    const void  *bias;     /* [C_out] */
    const float *residual; /* [H', W', C_out] or NULL; may be out */
    float       *out;      /* [H', W', C_out] */
} filk_device_conv_args;

typedef struct filk_backend_kernels {
    filk_device_row         attn_fwd_bf16_sm90; /* views on 16 bytes: base and strides */
    filk_device_row         attn_fwd_bf16_mma;  /* views of any alignment */
    filk_device_row         mass_bf16_mma;
    filk_device_row         pooling;
    filk_device_row         norm;
    filk_device_row         select;
    filk_device_row         find_nonfinite;
    filk_device_row         gated_add;
    filk_device_row         cast;
    filk_device_row         double_frame;
    filk_device_row         softmax;
    const filk_device_plan *linear;
    const filk_device_plan *conv3d;
} filk_backend_kernels;

/* Of the loaded backend; NULL while none is loaded. */
static inline const filk_backend_kernels *filk_device_kernels(void)
{
    const fili_backend *b = fili_backend_loaded();
    return b != NULL ? (const filk_backend_kernels *)b->kernels : NULL;
}

/* ---- memory of a device, for who keeps data there ------------------------------------------- */

/* 1: the context has a device, and p is its memory. */
int filk_device_owns(const fil_ctx *ctx, const void *p);

/* `rows` pieces of `bytes` each, `pitch` bytes apart on both sides. */
typedef struct filk_device_piece {
    size_t rows, bytes, pitch;
} filk_device_piece;

/* Between memory of the host and of the device, behind all work that is queued; finished on return.
 * Nothing is done where both addresses are one: data that kernels find on the host. E_DEVICE. */
FIL_MUSTCHECK fil_status filk_device_put(fil_ctx *ctx, void *device, const void *host,
                                         size_t bytes);
FIL_MUSTCHECK fil_status filk_device_get(fil_ctx *ctx, void *host, const void *device,
                                         size_t bytes);
FIL_MUSTCHECK fil_status filk_device_get_pieces(fil_ctx *ctx, void *host, const void *device,
                                                const filk_device_piece *pieces);
/* Within the device's memory; only queued. The two do not overlap. */
FIL_MUSTCHECK fil_status filk_device_copy(fil_ctx *ctx, void *to, const void *from, size_t bytes);
/* Waits for all that is queued. */
FIL_MUSTCHECK fil_status filk_device_wait(fil_ctx *ctx);

/* In all of these pointers are memory of the device, but for *at, and coarse of either side. */
FIL_MUSTCHECK fil_status filk_device_find_nonfinite(fil_ctx *ctx, const float *x, int64_t n,
                                                    int64_t *at);
FIL_MUSTCHECK fil_status filk_device_cast(fil_ctx *ctx, const filk_cast_problem *problem,
                                          const filk_cast_args *args);
FIL_MUSTCHECK fil_status filk_device_double(fil_ctx *ctx, const filk_double_problem *problem,
                                            const filk_double_args *args);
FIL_MUSTCHECK fil_status filk_device_softmax(fil_ctx *ctx, const filk_softmax_problem *problem,
                                             const filk_softmax_args *args);
FIL_MUSTCHECK fil_status filk_device_gated_add(fil_ctx *ctx, const filk_gated_problem *problem,
                                               const filk_gated_args *args);

#ifdef __cplusplus
}
#endif

#endif
