/* kernel/cuda/conv3d_mma.cu: 3-D convolution, channels last (kernel/conv3d.h), on mma.sync: an
 * implicit matrix product of 64 pixels of an output frame with 64 of its channels.
 *
 * The sum runs over the taps and 64 input channels at a time, two steps in flight. Pixels are read
 * where the frames have them; what lies outside the clip, in a frame of zeros or behind the last
 * channel is zero in shared memory. Weights are packed [tap][C_out][C_in], both padded to 64 with
 * zeros. Bias, SiLU, residual and the one rounding follow in registers. One launch an output frame.
 * Sums in f32 in a fixed order.
 */
#include <stdlib.h>

#include "kernel/cuda/cuda_device.h"
#include "kernel/cuda/mma_tile.h"

using namespace filk;

namespace
{

#define STEP 64 /* pixels, output channels, input channels of a tile */

struct params {
    const half_bits *frame[FILK_DEVICE_MAX_TAPS]; /* that are not zeros */
    int32_t          tap[FILK_DEVICE_MAX_TAPS];   /* their places in the kernel */
    int32_t          frames;
    const half_bits *packed;
    const void      *bias, *residual;
    void            *out;
    int32_t          h, w, out_w, kh, kw, stride_h, stride_w, before_h, before_w;
    int32_t          pixels, c_in, c_out, in_padded, out_padded;
    fil_dtype        bias_dtype, out_dtype;
    int32_t          silu;
};

struct shared_tiles {
    half_bits x[2][STEP * STEP];
    half_bits w[2][STEP * STEP];
};

/* What a thread loads of each step: one chunk of 16 bytes of four pixels, 16 apart. */
struct my_pixels {
    int32_t y[4], x[4]; /* of the window's corner; y far outside for no pixel */
};

template <bool ALIGNED>
__device__ inline void load_step(const params &p, const my_pixels &mine, int32_t step,
                                 half_bits *x_tile, half_bits *w_tile)
{
    const int32_t    chunks = p.in_padded / STEP;
    const int32_t    c0     = step % chunks * STEP;
    const int32_t    tap    = step / chunks;
    const int32_t    j      = tap / p.kw % p.kh;
    const int32_t    k      = tap % p.kw;
    const int32_t    f      = tap / (p.kw * p.kh);
    const int        chunk  = threadIdx.x & 7;
    const int32_t    c      = c0 + 8 * chunk;
    const half_bits *w = p.packed + ((int64_t)((p.tap[f] * p.kh + j) * p.kw + k) * p.out_padded +
                                     blockIdx.y * STEP) *
                                        p.in_padded;
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const int        row   = (threadIdx.x >> 3) + 16 * n;
        const int32_t    y     = mine.y[n] + j;
        const int32_t    x     = mine.x[n] + k;
        const bool       valid = y >= 0 && y < p.h && x >= 0 && x < p.w && c < p.c_in;
        const int64_t    at    = valid ? ((int64_t)y * p.w + x) * p.c_in + c : 0;
        half_bits       *to    = x_tile + chunk_at<STEP>(row, chunk);
        const half_bits *from  = p.frame[f] + at;
        copy_chunk(w_tile + chunk_at<STEP>(row, chunk), w + (int64_t)row * p.in_padded + c, true);
        if constexpr (ALIGNED) {
            copy_chunk(to, from, valid);
        } else {
#pragma unroll
            for (int e = 0; e < 8; e++)
                to[e] = valid && c + e < p.c_in ? from[e] : (half_bits)0;
        }
    }
}

/* acc += the warp's 16 pixels times 64 channels. */
__device__ inline void multiply_step(float (&acc)[8][4], const half_bits *x, const half_bits *w)
{
    const int lane = threadIdx.x & 31;
    uint32_t  a[STEP / 16][4];
    load_left<STEP>(a, x, 16 * (threadIdx.x >> 5));
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const int row = 16 * n + (lane >> 4) * 8 + (lane & 7);
#pragma unroll
        for (int k = 0; k < STEP / 16; k++) {
            uint32_t b[4];
            load_matrices(b, w + chunk_at<STEP>(row, 2 * k + (lane >> 3 & 1)));
            multiply(acc[2 * n], a[k], b[0], b[1]);
            multiply(acc[2 * n + 1], a[k], b[2], b[3]);
        }
    }
}

__device__ inline float element(const void *data, fil_dtype dtype, int64_t at)
{
    if (dtype == FIL_F32) return static_cast<const float *>(data)[at];
    return __bfloat162float(static_cast<const __nv_bfloat16 *>(data)[at]);
}

__device__ inline void write_one(const params &p, int32_t pixel, int32_t o, float y)
{
    const int64_t at = (int64_t)pixel * p.c_out + o;
    if (p.bias_dtype != FIL_DTYPE_NONE) y += element(p.bias, p.bias_dtype, o);
    if (p.silu) y = y / (1.0f + expf(-y));
    if (p.residual != nullptr) y += element(p.residual, p.out_dtype, at);
    if (p.out_dtype == FIL_F32)
        static_cast<float *>(p.out)[at] = y;
    else
        static_cast<__nv_bfloat16 *>(p.out)[at] = __float2bfloat16_rn(y);
}

template <bool ALIGNED>
__global__ void __launch_bounds__(FILK_TILE_THREADS) conv3d(const __grid_constant__ params p)
{
    __shared__ __align__(128) shared_tiles s;
    const int32_t                          first = blockIdx.x * STEP;
    const int32_t                          steps = p.frames * p.kh * p.kw * (p.in_padded / STEP);
    const int                              lane  = threadIdx.x & 31;
    my_pixels                              mine;
    float                                  acc[8][4] = {};
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const int32_t pixel = first + (threadIdx.x >> 3) + 16 * n;
        const bool    valid = pixel < p.pixels;
        mine.y[n]           = valid ? pixel / p.out_w * p.stride_h - p.before_h : -0x40000000;
        mine.x[n]           = valid ? pixel % p.out_w * p.stride_w - p.before_w : 0;
    }
    if (steps > 0) load_step<ALIGNED>(p, mine, 0, s.x[0], s.w[0]);
    copy_commit();
    for (int32_t step = 0; step < steps; step++) {
        const int now = step & 1;
        if (step + 1 < steps) load_step<ALIGNED>(p, mine, step + 1, s.x[now ^ 1], s.w[now ^ 1]);
        copy_commit();
        copy_wait<1>();
        __syncthreads();
        multiply_step(acc, s.x[now], s.w[now]);
        __syncthreads();
    }
    copy_wait<0>();
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int32_t pixel = first + 16 * (threadIdx.x >> 5) + 8 * (i >> 1) + (lane >> 2);
            const int32_t o     = blockIdx.y * STEP + 8 * n + 2 * (lane & 3) + (i & 1);
            if (pixel < p.pixels && o < p.c_out) write_one(p, pixel, o, acc[n][i]);
        }
}

/* ---- plans ---------------------------------------------------------------------------------- */

struct conv_plan {
    filk_conv3d_problem p;
    int32_t             in_padded, out_padded, taps;
};

fil_status create(void *device, const void *problem, void **plan)
{
    conv_plan *c = static_cast<conv_plan *>(calloc(1, sizeof *c));
    (void)device;
    *plan = c;
    if (c == NULL) return FIL_E_NOMEM;
    c->p          = *static_cast<const filk_conv3d_problem *>(problem);
    c->in_padded  = (c->p.c_in + STEP - 1) / STEP * STEP;
    c->out_padded = (c->p.c_out + STEP - 1) / STEP * STEP;
    c->taps       = c->p.t.kernel * c->p.h.kernel * c->p.w.kernel;
    return FIL_OK;
}

void destroy(void *device, void *plan)
{
    (void)device;
    free(plan);
}

size_t workspace_bytes(const void *plan)
{
    (void)plan;
    return 0;
}

size_t packed_bytes(const void *plan)
{
    const conv_plan *c = static_cast<const conv_plan *>(plan);
    return sizeof(half_bits) * (size_t)c->taps * (size_t)c->out_padded * (size_t)c->in_padded;
}

__global__ void __launch_bounds__(256)
    pack_weights(const half_bits *weight, half_bits *packed, int32_t taps, int32_t c_in,
                 int32_t c_out, int32_t in_padded, int32_t out_padded)
{
    const int64_t all = (int64_t)taps * out_padded * in_padded;
    const int64_t at  = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (at >= all) return;
    const int32_t c   = (int32_t)(at % in_padded);
    const int32_t o   = (int32_t)(at / in_padded % out_padded);
    const int32_t tap = (int32_t)(at / in_padded / out_padded);
    packed[at]        = c < c_in && o < c_out ? weight[((int64_t)o * c_in + c) * taps + tap] : 0;
}

fil_status pack(void *device, const void *plan, const void *weight, void *packed, void *workspace)
{
    filk_cuda_device *d   = static_cast<filk_cuda_device *>(device);
    const conv_plan  *c   = static_cast<const conv_plan *>(plan);
    const int64_t     all = (int64_t)c->taps * c->out_padded * c->in_padded;
    filk_grid         g;
    (void)workspace;
    g.grid   = dim3((unsigned)((all + 255) / 256));
    g.block  = dim3(256);
    g.shared = 0;
    return filk_cuda_launch(&d->s, "conv3d, packing", pack_weights, g,
                            static_cast<const half_bits *>(weight),
                            static_cast<half_bits *>(packed), c->taps, c->p.c_in, c->p.c_out,
                            c->in_padded, c->out_padded);
}

void fill_params(params *k, const conv_plan *c, const filk_device_conv_frame *a)
{
    const filk_conv3d_problem *p = &c->p;
    *k                           = params();
    k->packed                    = static_cast<const half_bits *>(a->packed);
    k->bias                      = a->bias;
    k->residual                  = a->residual;
    k->out                       = a->out;
    k->h                         = p->h.size;
    k->w                         = p->w.size;
    k->out_w                     = filk_conv3d_out(&p->w);
    k->kh                        = p->h.kernel;
    k->kw                        = p->w.kernel;
    k->stride_h                  = p->h.stride;
    k->stride_w                  = p->w.stride;
    k->before_h                  = p->h.before;
    k->before_w                  = p->w.before;
    k->pixels                    = filk_conv3d_out(&p->h) * k->out_w;
    k->c_in                      = p->c_in;
    k->c_out                     = p->c_out;
    k->in_padded                 = c->in_padded;
    k->out_padded                = c->out_padded;
    k->bias_dtype                = p->bias_dtype;
    k->out_dtype                 = p->out_dtype;
    k->silu                      = p->silu;
    for (int32_t i = 0; i < p->t.kernel; i++) {
        if (a->frame[i] == NULL) continue;
        k->frame[k->frames] = static_cast<const half_bits *>(a->frame[i]);
        k->tap[k->frames++] = i;
    }
}

fil_status run(void *device, const void *plan, const void *args, void *workspace)
{
    filk_cuda_device *d = static_cast<filk_cuda_device *>(device);
    const conv_plan  *c = static_cast<const conv_plan *>(plan);
    params            k;
    filk_grid         g;
    bool              aligned = c->p.c_in % 8 == 0;
    (void)workspace;
    fill_params(&k, c, static_cast<const filk_device_conv_frame *>(args));
    for (int32_t i = 0; i < k.frames; i++)
        aligned = aligned && (uintptr_t)k.frame[i] % 16 == 0;
    g.grid   = dim3((unsigned)((k.pixels + STEP - 1) / STEP), (unsigned)(c->out_padded / STEP));
    g.block  = dim3(FILK_TILE_THREADS);
    g.shared = 0;
    return filk_cuda_launch(&d->s, "conv3d", aligned ? conv3d<true> : conv3d<false>, g, k);
}

} // namespace

const filk_device_plan filk_cuda_conv3d = {create,       destroy, workspace_bytes,
                                           packed_bytes, pack,    run};
