/* kernel/cuda/linear_lt.cu: linear layers (kernel/linear.h) through cuBLASLt.
 *
 * cuBLASLt counts in columns: out^T [N, M] = W [N, K] x^T [K, M], so that "rows" there are
 * channels. A plan holds up to four products, each with the algorithm that cuBLASLt's own heuristic
 * ranks first, or none where it knows none:
 *   - PLAIN: f32 sums into workspace, some thousand rows at a time, so that the cache holds them;
 *     then a kernel of ours does bias, activation, gate and residual. Takes everything.
 *   - LOOSE: PLAIN for pointers that are not on 16 bytes.
 *   - FUSED: bias alone, in cuBLASLt's epilogue, straight into out.
 *   - GATED: out = gate acc + residual + gate bias, with the gate as a vector of alphas (f32 out).
 * Products are cut along K only where the parts are joined in f32 in a fixed order. TF32 is never
 * used. Gate and residual are not known before the run, which takes the most that is fused.
 */
#include <cuda_bf16.h>
#include <stdlib.h>

#include "kernel/cuda/vendor.h"
#include "kernel/linear.h"

namespace
{

#define BLAS_SPACE  ((size_t)32 << 20)
#define CHUNK_BYTES ((int64_t)96 << 20) /* f32 sums of one product */
#define ALIGN       256
#define THREADS     256

enum product_kind { PLAIN = 0, LOOSE, FUSED, GATED, PRODUCTS };

struct product {
    cublasLtMatmulDesc_t   desc;
    cublasLtMatrixLayout_t w, x, c, d;
    cublasLtMatmulAlgo_t   algo;
    bool                   usable;
};

struct linear_plan {
    filk_linear_problem p;
    int64_t             k_packed; /* elements from row to row of packed weights */
    int64_t             chunk;    /* rows of a PLAIN or LOOSE product */
    product             of[PRODUCTS];
    product             last[2]; /* PLAIN and LOOSE for the rows that are left over */
};

/* ---- our epilogue --------------------------------------------------------------------------- */

struct finish {
    const float *acc; /* [rows, n] */
    const void  *bias;
    const float *gate, *residual;
    void        *out;
    int64_t      rows, n, residual_stride, out_stride;
    fil_dtype    bias_dtype, out_dtype;
};

template <filk_activation ACT> __device__ inline float activated(float x)
{
    /* (1 + tanh u) / 2 = 1 / (1 + exp(-2u)) */
    if (ACT == FILK_ACT_GELU_TANH)
        return x / (1.0f + expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
    if (ACT == FILK_ACT_SILU) return x / (1.0f + expf(-x));
    return x;
}

template <filk_activation ACT>
__global__ void __launch_bounds__(THREADS) finish_rows(const __grid_constant__ finish f)
{
    const int64_t all  = f.rows * f.n;
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < all; at += step) {
        const int64_t i = at / f.n;
        const int64_t j = at % f.n;
        float         y = f.acc[at];
        if (f.bias_dtype == FIL_F32) y += static_cast<const float *>(f.bias)[j];
        if (f.bias_dtype == FIL_BF16)
            y += __bfloat162float(static_cast<const __nv_bfloat16 *>(f.bias)[j]);
        y = activated<ACT>(y);
        if (f.gate != nullptr) y *= f.gate[j];
        if (f.residual != nullptr) y += f.residual[i * f.residual_stride + j];
        if (f.out_dtype == FIL_F32)
            static_cast<float *>(f.out)[i * f.out_stride + j] = y;
        else
            static_cast<__nv_bfloat16 *>(f.out)[i * f.out_stride + j] = __float2bfloat16_rn(y);
    }
}

/* Four channels a thread; n, strides and pointers allow 16 bytes of f32 and 8 of bf16. */
template <filk_activation ACT>
__global__ void __launch_bounds__(THREADS) finish_fours(const __grid_constant__ finish f)
{
    const int64_t all   = f.rows * f.n / 4;
    const int64_t width = f.n / 4;
    const int64_t step  = (int64_t)gridDim.x * THREADS;
    for (int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x; at < all; at += step) {
        const int64_t i    = at / width;
        const int64_t j    = at % width * 4;
        const float4  acc  = reinterpret_cast<const float4 *>(f.acc)[at];
        float         y[4] = {acc.x, acc.y, acc.z, acc.w};
        float4        r    = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (f.residual != nullptr)
            r = *reinterpret_cast<const float4 *>(f.residual + i * f.residual_stride + j);
        const float base[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
        for (int v = 0; v < 4; v++) {
            if (f.bias_dtype == FIL_F32) y[v] += static_cast<const float *>(f.bias)[j + v];
            if (f.bias_dtype == FIL_BF16)
                y[v] += __bfloat162float(static_cast<const __nv_bfloat16 *>(f.bias)[j + v]);
            y[v] = activated<ACT>(y[v]);
            if (f.gate != nullptr) y[v] *= f.gate[j + v];
            if (f.residual != nullptr) y[v] += base[v];
        }
        if (f.out_dtype == FIL_F32) {
            *reinterpret_cast<float4 *>(static_cast<float *>(f.out) + i * f.out_stride + j) =
                make_float4(y[0], y[1], y[2], y[3]);
            continue;
        }
        __nv_bfloat162 h[2];
        h[0] = __floats2bfloat162_rn(y[0], y[1]);
        h[1] = __floats2bfloat162_rn(y[2], y[3]);
        *reinterpret_cast<uint2 *>(static_cast<__nv_bfloat16 *>(f.out) + i * f.out_stride + j) =
            *reinterpret_cast<const uint2 *>(h);
    }
}

/* gate and gate * bias, as GATED wants them. */
__global__ void __launch_bounds__(THREADS)
    gated_bias(const float *gate, const void *bias, fil_dtype dtype, int64_t n, float *alpha,
               float *product)
{
    const int64_t j = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (j >= n) return;
    const float g = gate != nullptr ? gate[j] : 1.0f;
    float       b = 0.0f;
    if (dtype == FIL_F32) b = static_cast<const float *>(bias)[j];
    if (dtype == FIL_BF16) b = __bfloat162float(static_cast<const __nv_bfloat16 *>(bias)[j]);
    alpha[j]   = g;
    product[j] = g * b;
}

template <filk_activation ACT> fil_status launch_finish(const filk_cuda_device *d, const finish &f)
{
    const uintptr_t wide = (uintptr_t)f.acc | (uintptr_t)f.residual |
                           (uintptr_t)(f.residual != nullptr ? f.residual_stride * 4 : 0);
    const uintptr_t size = f.out_dtype == FIL_F32 ? 4 : 2;
    const uintptr_t to   = (uintptr_t)f.out | (uintptr_t)f.out_stride * size;
    const bool      four = f.n % 4 == 0 && wide % 16 == 0 && to % (4 * size) == 0;
    const int64_t   work = f.rows * f.n / (four ? 4 : 1);
    const int64_t   most = (int64_t)d->s.sms * 16;
    const int64_t   want = (work + THREADS - 1) / THREADS;
    filk_grid       g;
    g.grid   = dim3((unsigned)(want < most ? want : most));
    g.block  = dim3(THREADS);
    g.shared = 0;
    return filk_cuda_launch(&d->s, "finish_rows", four ? finish_fours<ACT> : finish_rows<ACT>, g,
                            f);
}

/* ---- building ------------------------------------------------------------------------------- */

struct builder {
    filk_cuda_device     *d;
    const filk_cuda_blas *blas;
    cublasLtHandle_t      handle;
    const linear_plan    *plan;
};

cudaDataType_t type_of(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

int64_t size_of(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? 2 : 4;
}

template <typename T>
cublasStatus_t set(const builder &b, cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t what,
                   T value)
{
    return b.blas->MatmulDescSetAttribute(desc, what, &value, sizeof value);
}

template <typename T>
cublasStatus_t prefer(const builder &b, cublasLtMatmulPreference_t pref,
                      cublasLtMatmulPreferenceAttributes_t what, T value)
{
    return b.blas->MatmulPreferenceSetAttribute(pref, what, &value, sizeof value);
}

cublasLtEpilogue_t epilogue_of(const filk_linear_problem *p)
{
    return p->bias_dtype != FIL_DTYPE_NONE ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

cublasStatus_t describe(const builder &b, int kind, product *q)
{
    const filk_linear_problem *p = &b.plan->p;
    cublasStatus_t e = b.blas->MatmulDescCreate(&q->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = set(b, q->desc, CUBLASLT_MATMUL_DESC_TRANSA, (int32_t)CUBLAS_OP_T);
    if (e == CUBLAS_STATUS_SUCCESS && kind == FUSED)
        e = set(b, q->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p));
    if (e == CUBLAS_STATUS_SUCCESS && kind == GATED)
        e = set(b, q->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    if (e == CUBLAS_STATUS_SUCCESS && kind == GATED)
        e = set(b, q->desc, CUBLASLT_MATMUL_DESC_POINTER_MODE,
                (int32_t)CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST);
    return e;
}

cublasStatus_t lay_out(const builder &b, int kind, int64_t rows, int64_t out_stride, product *q)
{
    const filk_linear_problem *p    = &b.plan->p;
    const cudaDataType_t       type = type_of(p->dtype);
    const cudaDataType_t       to   = kind == FUSED ? type_of(p->out_dtype) : CUDA_R_32F;
    const int64_t              k    = p->packed ? b.plan->k_packed : p->k;
    cublasStatus_t e = b.blas->MatrixLayoutCreate(&q->w, type, (uint64_t)p->k, (uint64_t)p->n, k);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = b.blas->MatrixLayoutCreate(&q->x, type, (uint64_t)p->k, (uint64_t)rows, p->x_stride);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = b.blas->MatrixLayoutCreate(&q->c, to, (uint64_t)p->n, (uint64_t)rows, out_stride);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = b.blas->MatrixLayoutCreate(&q->d, to, (uint64_t)p->n, (uint64_t)rows, out_stride);
    return e;
}

/* The algorithm that the library's heuristic ranks first; not usable if it knows none. */
cublasStatus_t choose(const builder &b, int kind, product *q)
{
    cublasLtMatmulHeuristicResult_t found;
    cublasLtMatmulPreference_t      pref = NULL;
    int                             n    = 0;
    const filk_linear_problem      *p    = &b.plan->p;
    const uint32_t                  in   = kind == LOOSE ? (uint32_t)size_of(p->dtype) : 16;
    const uint32_t                  out  = 16;
    cublasStatus_t                  e    = b.blas->MatmulPreferenceCreate(&pref);
    if (e != CUBLAS_STATUS_SUCCESS) return e;
    e = prefer(b, pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, (uint64_t)BLAS_SPACE);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = prefer(b, pref, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                   (uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = prefer(b, pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, in);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = prefer(b, pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = prefer(b, pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = prefer(b, pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out);
    if (e == CUBLAS_STATUS_SUCCESS)
        e = b.blas->MatmulAlgoGetHeuristic(b.handle, q->desc, q->w, q->x, q->c, q->d, pref, 1,
                                           &found, &n);
    (void)b.blas->MatmulPreferenceDestroy(pref);
    q->usable = e == CUBLAS_STATUS_SUCCESS && n > 0 && found.state == CUBLAS_STATUS_SUCCESS;
    if (q->usable) q->algo = found.algo;
    return CUBLAS_STATUS_SUCCESS;
}

fil_status build(const builder &b, int kind, int64_t rows, int64_t out_stride, product *q)
{
    cublasStatus_t e = describe(b, kind, q);
    if (e == CUBLAS_STATUS_SUCCESS) e = lay_out(b, kind, rows, out_stride, q);
    if (e == CUBLAS_STATUS_SUCCESS) e = choose(b, kind, q);
    return filk_cuda_blas_check(b.d, b.blas, e, "a matrix product");
}

void drop(const filk_cuda_blas *blas, product *q)
{
    if (q->desc != NULL) (void)blas->MatmulDescDestroy(q->desc);
    if (q->w != NULL) (void)blas->MatrixLayoutDestroy(q->w);
    if (q->x != NULL) (void)blas->MatrixLayoutDestroy(q->x);
    if (q->c != NULL) (void)blas->MatrixLayoutDestroy(q->c);
    if (q->d != NULL) (void)blas->MatrixLayoutDestroy(q->d);
}

void destroy(void *device, void *plan)
{
    linear_plan          *l = static_cast<linear_plan *>(plan);
    const filk_cuda_blas *blas;
    cublasLtHandle_t      handle;
    if (l == NULL) return;
    if (filk_cuda_blas_of(static_cast<filk_cuda_device *>(device), &blas, &handle) == FIL_OK) {
        for (int i = 0; i < PRODUCTS; i++)
            drop(blas, &l->of[i]);
        drop(blas, &l->last[0]);
        drop(blas, &l->last[1]);
    }
    free(l);
}

/* out's stride is not known before the run: fused products are planned for dense rows. */
fil_status build_all(const builder &b, linear_plan *l)
{
    const filk_linear_problem *p    = &l->p;
    const int64_t              left = p->m % l->chunk;
    const bool same   = p->bias_dtype == FIL_DTYPE_NONE || p->bias_dtype == p->out_dtype;
    fil_status status = build(b, PLAIN, l->chunk, p->n, &l->of[PLAIN]);
    if (status == FIL_OK) status = build(b, LOOSE, l->chunk, p->n, &l->of[LOOSE]);
    if (status == FIL_OK && left > 0) status = build(b, PLAIN, left, p->n, &l->last[PLAIN]);
    if (status == FIL_OK && left > 0) status = build(b, LOOSE, left, p->n, &l->last[LOOSE]);
    /* Not GELU: cuBLASLt's tanh is approximate, and was 26 times over the tolerance on an H100. */
    const bool fused = p->act == FILK_ACT_NONE;
    if (status == FIL_OK && same && fused) status = build(b, FUSED, p->m, p->n, &l->of[FUSED]);
    if (status == FIL_OK && p->out_dtype == FIL_F32 && p->act == FILK_ACT_NONE)
        status = build(b, GATED, p->m, p->n, &l->of[GATED]);
    if (status == FIL_OK && !l->of[LOOSE].usable && !l->of[PLAIN].usable) {
        snprintf(b.d->error, sizeof b.d->error, "cuBLASLt knows no algorithm for this product");
        status = FIL_E_UNSUP;
    }
    return status;
}

fil_status create(void *device, const void *problem, void **plan)
{
    builder b;
    b.d            = static_cast<filk_cuda_device *>(device);
    linear_plan *l = static_cast<linear_plan *>(calloc(1, sizeof *l));
    *plan          = NULL;
    if (l == NULL) return FIL_E_NOMEM;
    l->p        = *static_cast<const filk_linear_problem *>(problem);
    l->k_packed = (l->p.k + 7) / 8 * 8;
    l->chunk    = CHUNK_BYTES / (l->p.n * 4) / 256 * 256;
    if (l->chunk < 256) l->chunk = 256;
    if (l->chunk > l->p.m) l->chunk = l->p.m;
    b.plan            = l;
    fil_status status = filk_cuda_blas_of(b.d, &b.blas, &b.handle);
    if (status == FIL_OK) status = build_all(b, l);
    if (status != FIL_OK) {
        destroy(device, l);
        return status;
    }
    *plan = l;
    return FIL_OK;
}

/* ---- sizes, packing ------------------------------------------------------------------------- */

size_t padded(int64_t bytes)
{
    return (size_t)((bytes + ALIGN - 1) / ALIGN * ALIGN);
}

/* cuBLASLt's own, then f32 sums or the two vectors of GATED. */
size_t workspace_bytes(const void *plan)
{
    const linear_plan *l       = static_cast<const linear_plan *>(plan);
    const size_t       sums    = padded(l->chunk * l->p.n * 4);
    const size_t       vectors = 2 * padded(l->p.n * 4);
    return BLAS_SPACE + (sums > vectors ? sums : vectors);
}

size_t packed_bytes(const void *plan)
{
    const linear_plan *l = static_cast<const linear_plan *>(plan);
    return l->p.packed ? (size_t)(l->p.n * l->k_packed * size_of(l->p.dtype)) : 0;
}

fil_status pack(void *device, const void *plan, const void *weight, void *packed, void *workspace)
{
    filk_cuda_device  *d    = static_cast<filk_cuda_device *>(device);
    const linear_plan *l    = static_cast<const linear_plan *>(plan);
    const size_t       size = (size_t)size_of(l->p.dtype);
    (void)workspace;
    const cudaError_t e = cudaMemcpy2DAsync(packed, (size_t)l->k_packed * size, weight,
                                            (size_t)l->p.k * size, (size_t)l->p.k * size,
                                            (size_t)l->p.n, cudaMemcpyDeviceToDevice, d->stream);
    return filk_cuda_check(&d->s, e, "packing weights");
}

/* ---- running -------------------------------------------------------------------------------- */

struct running {
    filk_cuda_device       *d;
    const filk_cuda_blas   *blas;
    cublasLtHandle_t        handle;
    const linear_plan      *l;
    const filk_linear_args *a;
    char                   *space, *sums; /* of cuBLASLt; behind it */
};

bool on_16(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

fil_status multiply(const running &r, const product &q, const void *x, const void *alpha,
                    const float *beta, const void *c, void *out)
{
    const cublasStatus_t e =
        r.blas->Matmul(r.handle, q.desc, alpha, r.a->weight, q.w, x, q.x, beta, c, q.c, out, q.d,
                       &q.algo, r.space, BLAS_SPACE, r.d->stream);
    return filk_cuda_blas_check(r.d, r.blas, e, "a matrix product");
}

fil_status run_fused(const running &r)
{
    const product &q    = r.l->of[FUSED];
    const float    one  = 1.0f;
    const float    zero = 0.0f;
    const void    *bias = r.a->bias;
    if (r.l->p.bias_dtype != FIL_DTYPE_NONE) {
        const cublasStatus_t e = r.blas->MatmulDescSetAttribute(
            q.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
        const fil_status status = filk_cuda_blas_check(r.d, r.blas, e, "a bias");
        if (status != FIL_OK) return status;
    }
    return multiply(r, q, r.a->x, &one, &zero, r.a->out, r.a->out);
}

fil_status run_gated(const running &r)
{
    const product &q       = r.l->of[GATED];
    const int64_t  n       = r.l->p.n;
    float         *alpha   = reinterpret_cast<float *>(r.sums);
    float         *product = reinterpret_cast<float *>(r.sums + padded(n * 4));
    const float    one     = 1.0f;
    filk_grid      g;
    g.grid            = dim3((unsigned)((n + THREADS - 1) / THREADS));
    g.block           = dim3(THREADS);
    g.shared          = 0;
    fil_status status = filk_cuda_launch(&r.d->s, "gated_bias", gated_bias, g, r.a->gate, r.a->bias,
                                         r.l->p.bias_dtype, n, alpha, product);
    if (status != FIL_OK) return status;
    const cublasStatus_t e = r.blas->MatmulDescSetAttribute(
        q.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &product, sizeof product);
    status = filk_cuda_blas_check(r.d, r.blas, e, "a bias");
    if (status != FIL_OK) return status;
    return multiply(r, q, r.a->x, alpha, &one, r.a->residual, r.a->out);
}

fil_status finish_chunk(const running &r, int64_t first, int64_t rows)
{
    const filk_linear_problem *p = &r.l->p;
    const filk_linear_args    *a = r.a;
    finish                     f;
    f.acc             = reinterpret_cast<const float *>(r.sums);
    f.bias            = a->bias;
    f.bias_dtype      = p->bias_dtype;
    f.gate            = a->gate;
    f.residual        = a->residual != NULL ? a->residual + first * a->residual_stride : NULL;
    f.residual_stride = a->residual_stride;
    f.out             = static_cast<char *>(a->out) + first * a->out_stride * size_of(p->out_dtype);
    f.out_stride      = a->out_stride;
    f.out_dtype       = p->out_dtype;
    f.rows            = rows;
    f.n               = p->n;
    if (p->act == FILK_ACT_GELU_TANH) return launch_finish<FILK_ACT_GELU_TANH>(r.d, f);
    if (p->act == FILK_ACT_SILU) return launch_finish<FILK_ACT_SILU>(r.d, f);
    return launch_finish<FILK_ACT_NONE>(r.d, f);
}

fil_status run_plain(const running &r)
{
    const filk_linear_problem *p    = &r.l->p;
    const float                one  = 1.0f;
    const float                zero = 0.0f;
    for (int64_t first = 0; first < p->m; first += r.l->chunk) {
        const bool    part = p->m - first < r.l->chunk;
        const int64_t rows = part ? p->m - first : r.l->chunk;
        const char *x = static_cast<const char *>(r.a->x) + first * p->x_stride * size_of(p->dtype);
        const product *of = part ? r.l->last : r.l->of;
        const bool     on = of[PLAIN].usable && on_16(x) && on_16(r.a->weight);
        if (!on && !of[LOOSE].usable) {
            snprintf(r.d->error, sizeof r.d->error,
                     "cuBLASLt knows no algorithm for operands at this alignment");
            return FIL_E_UNSUP;
        }
        fil_status status = multiply(r, of[on ? PLAIN : LOOSE], x, &one, &zero, r.sums, r.sums);
        if (status == FIL_OK) status = finish_chunk(r, first, rows);
        if (status != FIL_OK) return status;
    }
    return FIL_OK;
}

fil_status run(void *device, const void *plan, const void *args, void *workspace)
{
    running r;
    r.d                     = static_cast<filk_cuda_device *>(device);
    r.l                     = static_cast<const linear_plan *>(plan);
    r.a                     = static_cast<const filk_linear_args *>(args);
    r.space                 = static_cast<char *>(workspace);
    r.sums                  = r.space + BLAS_SPACE;
    const fil_status status = filk_cuda_blas_of(r.d, &r.blas, &r.handle);
    if (status != FIL_OK) return status;
    const int64_t n     = r.l->p.n;
    const bool    dense = r.a->out_stride == n && on_16(r.a->x) && on_16(r.a->weight) &&
                       on_16(r.a->out) && on_16(r.a->bias);
    if (dense && r.l->of[FUSED].usable && r.a->gate == NULL && r.a->residual == NULL)
        return run_fused(r);
    if (dense && r.l->of[GATED].usable && r.a->residual != NULL && r.a->residual_stride == n &&
        on_16(r.a->residual))
        return run_gated(r);
    return run_plain(r);
}

} // namespace

const filk_device_plan filk_cuda_linear = {create,       destroy, workspace_bytes,
                                           packed_bytes, pack,    run};
