/* tests/support/cuda/cublasLt.h: what the backend uses of cuBLASLt, on the CPU (machine.h,
 * blas.cc). The backend loads it by name: that of the emulated backend itself, which shows these
 * functions.
 */
#ifndef FIL_TEST_CUDA_CUBLASLT_H
#define FIL_TEST_CUDA_CUBLASLT_H

#include <cuda_runtime.h>

#define CUBLAS_VER_MAJOR emulated

enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_ALLOC_FAILED,
    CUBLAS_STATUS_INVALID_VALUE,
    CUBLAS_STATUS_NOT_SUPPORTED
};

enum cudaDataType_t { CUDA_R_32F, CUDA_R_16BF };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasLtEpilogue_t { CUBLASLT_EPILOGUE_DEFAULT = 1, CUBLASLT_EPILOGUE_BIAS = 4 };
enum cublasLtPointerMode_t {
    CUBLASLT_POINTER_MODE_HOST,
    CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST
};
enum cublasLtReductionScheme_t { CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2 };
enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA,
    CUBLASLT_MATMUL_DESC_EPILOGUE,
    CUBLASLT_MATMUL_DESC_POINTER_MODE,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER
};
enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
};

typedef struct machine_blas       *cublasLtHandle_t;
typedef struct machine_matmul     *cublasLtMatmulDesc_t;
typedef struct machine_layout     *cublasLtMatrixLayout_t;
typedef struct machine_preference *cublasLtMatmulPreference_t;

/* What was promised when it was chosen. */
struct cublasLtMatmulAlgo_t {
    uint64_t workspace;
    uint32_t alignment[4]; /* of A, B, C, D */
};

struct cublasLtMatmulHeuristicResult_t {
    cublasLtMatmulAlgo_t algo;
    size_t               workspaceSize;
    cublasStatus_t       state;
};

#define FIL_SHOWN extern "C" __attribute__((visibility("default")))

FIL_SHOWN cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle);
FIL_SHOWN cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle);
FIL_SHOWN const char    *cublasLtGetStatusString(cublasStatus_t status);
FIL_SHOWN cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc,
                                                  cublasComputeType_t   compute,
                                                  cudaDataType_t        scale);
FIL_SHOWN cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc);
FIL_SHOWN cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t           desc,
                                                        cublasLtMatmulDescAttributes_t what,
                                                        const void *value, size_t bytes);
FIL_SHOWN cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout,
                                                    cudaDataType_t type, uint64_t rows,
                                                    uint64_t columns, int64_t leading);
FIL_SHOWN cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout);
FIL_SHOWN cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference);
FIL_SHOWN cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference);
FIL_SHOWN cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t what,
    const void *value, size_t bytes);
FIL_SHOWN cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t *found,
    int *n);
FIL_SHOWN cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                        const void *alpha, const void *a, cublasLtMatrixLayout_t al,
                                        const void *b, cublasLtMatrixLayout_t bl, const void *beta,
                                        const void *c, cublasLtMatrixLayout_t cl, void *d,
                                        cublasLtMatrixLayout_t dl, const cublasLtMatmulAlgo_t *algo,
                                        void *workspace, size_t workspace_bytes,
                                        cudaStream_t stream);

#endif
