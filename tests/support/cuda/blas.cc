/* tests/support/cuda/blas.cc: cuBLASLt's products on the CPU (machine.h): sums in f32, in a fixed
 * order. What an algorithm was promised (alignment, workspace) is held against what it gets.
 */
#include <cublasLt.h>
#include <cuda_bf16.h>

#include <initializer_list>
#include <vector>

struct machine_blas {
    int unused;
};

struct machine_matmul {
    int32_t            turned; /* A, by cublasOperation_t */
    cublasLtEpilogue_t epilogue;
    int32_t            mode; /* cublasLtPointerMode_t */
    const void        *bias;
};

struct machine_layout {
    cudaDataType_t type;
    int64_t        rows, columns, leading;
};

struct machine_preference {
    cublasLtMatmulAlgo_t promise;
};

namespace
{

struct matmul {
    machine_matmul how;
    machine_layout al, bl, cl, dl;
    const void    *a, *b, *c;
    void          *d;
    const float   *alphas; /* of the device, a vector */
    float          alpha, beta;
};

float element(const void *p, cudaDataType_t type, int64_t at)
{
    return type == CUDA_R_32F ? static_cast<const float *>(p)[at]
                              : __bfloat162float(static_cast<const __nv_bfloat16 *>(p)[at]);
}

/* Columns of length k as f32, side by side. */
std::vector<float> columns_of(const void *p, const machine_layout &l)
{
    std::vector<float> x((size_t)(l.rows * l.columns));
    for (int64_t j = 0; j < l.columns; j++)
        for (int64_t i = 0; i < l.rows; i++)
            x[(size_t)(j * l.rows + i)] = element(p, l.type, j * l.leading + i);
    return x;
}

/* Sixteen sums side by side, then one by one. */
float product_of(const float *x, const float *y, int64_t k)
{
    float   part[16] = {};
    float   sum      = 0.0f;
    int64_t i        = 0;
    for (; i + 16 <= k; i += 16)
        for (int v = 0; v < 16; v++)
            part[v] += x[i + v] * y[i + v];
    for (; i < k; i++)
        sum += x[i] * y[i];
    for (float p : part)
        sum += p;
    return sum;
}

void run(const matmul &m)
{
    const std::vector<float> a = columns_of(m.a, m.al);
    const std::vector<float> b = columns_of(m.b, m.bl);
    const int64_t            k = m.al.rows;
    for (int64_t j = 0; j < m.dl.columns; j++)
        for (int64_t i = 0; i < m.dl.rows; i++) {
            const float   alpha = m.alphas != nullptr ? m.alphas[i] : m.alpha;
            const int64_t at    = j * m.dl.leading + i;
            float         y     = alpha * product_of(&a[(size_t)(i * k)], &b[(size_t)(j * k)], k);
            if (m.beta != 0.0f) y += m.beta * element(m.c, m.cl.type, j * m.cl.leading + i);
            if (m.how.epilogue == CUBLASLT_EPILOGUE_BIAS) y += element(m.how.bias, m.dl.type, i);
            if (m.dl.type == CUDA_R_32F)
                static_cast<float *>(m.d)[at] = y;
            else
                static_cast<__nv_bfloat16 *>(m.d)[at] = __float2bfloat16_rn(y);
        }
}

bool all_on_device(std::initializer_list<const void *> list)
{
    for (const void *p : list) {
        cudaPointerAttributes a;
        (void)cudaPointerGetAttributes(&a, p);
        if (a.type != cudaMemoryTypeDevice) return false;
    }
    return true;
}

bool is_on(const void *p, uint32_t bytes)
{
    return (uintptr_t)p % bytes == 0;
}

} // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = new machine_blas();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    static const char *const names[] = {"CUBLAS_STATUS_SUCCESS", "CUBLAS_STATUS_ALLOC_FAILED",
                                        "CUBLAS_STATUS_INVALID_VALUE",
                                        "CUBLAS_STATUS_NOT_SUPPORTED"};
    return names[status];
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t,
                                        cudaDataType_t)
{
    *desc = new machine_matmul{CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_POINTER_MODE_HOST,
                               nullptr};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t           desc,
                                              cublasLtMatmulDescAttributes_t what,
                                              const void *value, size_t bytes)
{
    void *const  to[]   = {&desc->turned, &desc->epilogue, &desc->mode, &desc->bias};
    const size_t size[] = {sizeof desc->turned, sizeof desc->epilogue, sizeof desc->mode,
                           sizeof desc->bias};
    if (bytes != size[what]) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to[what], value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t leading)
{
    *layout = new machine_layout{type, (int64_t)rows, (int64_t)columns, leading};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
    *preference = new machine_preference{{0, {256, 256, 256, 256}}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
    delete preference;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t           preference,
                                                    cublasLtMatmulPreferenceAttributes_t what,
                                                    const void *value, size_t bytes)
{
    cublasLtMatmulAlgo_t &p = preference->promise;
    if (what == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) return CUBLAS_STATUS_SUCCESS;
    if (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
        if (bytes != sizeof p.workspace) return CUBLAS_STATUS_INVALID_VALUE;
        memcpy(&p.workspace, value, bytes);
        return CUBLAS_STATUS_SUCCESS;
    }
    if (bytes != sizeof p.alignment[0]) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&p.alignment[what - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t *found, int *n)
{
    const bool good = wanted > 0 && desc->turned == CUBLAS_OP_T && a->rows == b->rows &&
                      a->columns == d->rows && b->columns == d->columns && c->rows == d->rows &&
                      c->columns == d->columns && a->type == b->type && a->leading >= a->rows &&
                      b->leading >= b->rows && c->leading >= c->rows && d->leading >= d->rows;
    *n = good ? 1 : 0;
    if (!good) return CUBLAS_STATUS_NOT_SUPPORTED;
    found->algo          = preference->promise;
    found->workspaceSize = preference->promise.workspace;
    found->state         = CUBLAS_STATUS_SUCCESS;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t al, const void *b,
                              cublasLtMatrixLayout_t bl, const void *beta, const void *c,
                              cublasLtMatrixLayout_t cl, void *d, cublasLtMatrixLayout_t dl,
                              const cublasLtMatmulAlgo_t *algo, void *workspace,
                              size_t workspace_bytes, cudaStream_t stream)
{
    const bool vector = desc->mode == CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST;
    matmul     m      = {*desc, *al, *bl, *cl, *dl, a, b, c, d, nullptr, 0.0f, 0.0f};
    if (!is_on(a, algo->alignment[0]) || !is_on(b, algo->alignment[1]) ||
        !is_on(c, algo->alignment[2]) || !is_on(d, algo->alignment[3]) || !is_on(workspace, 16) ||
        workspace_bytes < algo->workspace)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (desc->epilogue == CUBLASLT_EPILOGUE_BIAS && desc->bias == nullptr)
        return CUBLAS_STATUS_INVALID_VALUE;
    const void *const bias = desc->epilogue == CUBLASLT_EPILOGUE_BIAS ? desc->bias : a;
    if (!all_on_device({a, b, c, d, workspace, vector ? alpha : a, bias}))
        machine::fail("a product was handed memory of the host");
    if (vector)
        m.alphas = static_cast<const float *>(alpha);
    else
        m.alpha = *static_cast<const float *>(alpha);
    m.beta = *static_cast<const float *>(beta);
    machine::queue(stream, [=]() {
        for (size_t i = 0; i + 64 <= workspace_bytes; i += 4096) /* it is cuBLASLt's */
            memset(static_cast<char *>(workspace) + i, 0xff, 64);
        run(m);
    });
    return CUBLAS_STATUS_SUCCESS;
}
