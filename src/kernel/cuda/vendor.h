/* kernel/cuda/vendor.h: NVIDIA's libraries, loaded when a layer asks for them first.
 *
 * They are looked for by name, then where the system and this object's run path say. A process
 * loads each once; each device has its own handle.
 */
#ifndef FILK_CUDA_VENDOR_H
#define FILK_CUDA_VENDOR_H

#include <cublasLt.h>

#include "kernel/cuda/cuda_device.h"

#define FILK_CUDA_BLAS_CALLS(X)                                                                    \
    X(Create)                                                                                      \
    X(Destroy)                                                                                     \
    X(GetStatusString)                                                                             \
    X(Matmul)                                                                                      \
    X(MatmulAlgoGetHeuristic)                                                                      \
    X(MatmulDescCreate)                                                                            \
    X(MatmulDescDestroy)                                                                           \
    X(MatmulDescSetAttribute)                                                                      \
    X(MatmulPreferenceCreate)                                                                      \
    X(MatmulPreferenceDestroy)                                                                     \
    X(MatmulPreferenceSetAttribute)                                                                \
    X(MatrixLayoutCreate)                                                                          \
    X(MatrixLayoutDestroy)

struct filk_cuda_blas {
#define FILK_CUDA_FIELD(name) decltype(&cublasLt##name) name;
    FILK_CUDA_BLAS_CALLS(FILK_CUDA_FIELD)
#undef FILK_CUDA_FIELD
};

/* The library's functions, and the device's handle. E_UNSUP: it is not installed. */
fil_status filk_cuda_blas_of(filk_cuda_device *d, const filk_cuda_blas **blas,
                             cublasLtHandle_t *handle);

fil_status filk_cuda_blas_check(const filk_cuda_device *d, const filk_cuda_blas *blas,
                                cublasStatus_t e, const char *what);

#endif
