/* kernel/cuda/vendor.cu: loading NVIDIA's libraries (vendor.h). */
#include <dlfcn.h>
#include <pthread.h>

#include "kernel/cuda/vendor.h"

#define TEXT_(x)  #x
#define TEXT(x)   TEXT_(x)
#define BLAS_FILE "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

static filk_cuda_blas  blas_calls;
static int             blas_state; /* 0: not tried, 1: there, -1: not there */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* 1 if all functions are there. */
static int load_blas(void *library)
{
    int all = 1;
#define FILK_CUDA_FIND(name)                                                                       \
    blas_calls.name =                                                                              \
        reinterpret_cast<decltype(blas_calls.name)>(dlsym(library, "cublasLt" #name));             \
    all &= blas_calls.name != NULL;
    FILK_CUDA_BLAS_CALLS(FILK_CUDA_FIND)
#undef FILK_CUDA_FIND
    return all;
}

fil_status filk_cuda_blas_of(filk_cuda_device *d, const filk_cuda_blas **blas,
                             cublasLtHandle_t *handle)
{
    pthread_mutex_lock(&lock);
    if (blas_state == 0) {
        void *library = dlopen(BLAS_FILE, RTLD_NOW | RTLD_LOCAL);
        blas_state    = library != NULL && load_blas(library) ? 1 : -1;
    }
    pthread_mutex_unlock(&lock);
    if (blas_state < 0) {
        snprintf(d->error, sizeof d->error, "linear layers need %s, which was not found",
                 BLAS_FILE);
        return FIL_E_UNSUP;
    }
    *blas = &blas_calls;
    if (d->blas == NULL) {
        cublasLtHandle_t made = NULL;
        const fil_status status =
            filk_cuda_blas_check(d, &blas_calls, blas_calls.Create(&made), "cublasLtCreate");
        if (status != FIL_OK) return status;
        d->blas = made;
    }
    *handle = static_cast<cublasLtHandle_t>(d->blas);
    return FIL_OK;
}

void filk_cuda_blas_close(filk_cuda_device *d)
{
    if (d->blas != NULL) (void)blas_calls.Destroy(static_cast<cublasLtHandle_t>(d->blas));
    d->blas = NULL;
}

fil_status filk_cuda_blas_check(const filk_cuda_device *d, const filk_cuda_blas *blas,
                                cublasStatus_t e, const char *what)
{
    if (e == CUBLAS_STATUS_SUCCESS) return FIL_OK;
    snprintf(d->s.error, d->s.error_size, "%s: %s", what, blas->GetStatusString(e));
    if (e == CUBLAS_STATUS_ALLOC_FAILED) return FIL_E_NOMEM_DEV;
    return e == CUBLAS_STATUS_NOT_SUPPORTED ? FIL_E_UNSUP : FIL_E_DEVICE;
}
