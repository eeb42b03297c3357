/* kernel/cuda/cuda_device.h: an open device of the CUDA backend. */
#ifndef FILK_CUDA_DEVICE_H
#define FILK_CUDA_DEVICE_H

#include <cuda_runtime.h>

#include "kernel/cuda/attn_fwd.h"
#include "kernel/cuda/launch.h"
#include "kernel/device_rows.h"

#define FILK_CUDA_CHUNKS 24
#define FILK_CUDA_TABLES 16
#define FILK_CUDA_MARKS  16

/* A piece of scratch memory; each is at least as large as all before it together. */
struct filk_cuda_chunk {
    char  *base;
    size_t bytes;
};

/* A table of the host that the device has a copy of. */
struct filk_cuda_table {
    int32_t *host, *device;
    size_t   n, room;
    uint64_t used; /* when it was asked for last */
};

struct filk_cuda_device {
    filk_cuda_stream s; /* first: what kernels get */
    cudaStream_t     stream;
    cudaEvent_t      mark[FILK_CUDA_MARKS];
    filk_cuda_chunk  chunk[FILK_CUDA_CHUNKS];
    int32_t          n_chunks, current;
    size_t           bump; /* bytes used of the current chunk */
    filk_cuda_table  table[FILK_CUDA_TABLES];
    uint64_t         clock;
    void            *blas; /* cublasLtHandle_t, made when it is needed first */
    char             error[FILI_DEVICE_TEXT];
};

/* The device's copy of host[0 .. n), made once for each content. It stays until sixteen others have
 * been asked for. */
fil_status filk_cuda_table_of(filk_cuda_device *d, const int32_t *host, size_t n,
                              const int32_t **out);

/* ---- rows: each in its own file ------------------------------------------------------------- */

fil_status filk_cuda_mass_run(void *device, const void *problem, const void *args, void *workspace);
fil_status filk_cuda_pooling_run(void *device, const void *problem, const void *args,
                                 void *workspace);
fil_status filk_cuda_norm_run(void *device, const void *problem, const void *args, void *workspace);

size_t     filk_cuda_select_workspace(const void *problem);
fil_status filk_cuda_select_run(void *device, const void *problem, const void *args,
                                void *workspace);

fil_status filk_cuda_find_nonfinite_run(void *device, const void *problem, const void *args,
                                        void *workspace);
fil_status filk_cuda_gated_add_run(void *device, const void *problem, const void *args,
                                   void *workspace);

fil_status filk_cuda_cast_run(void *device, const void *problem, const void *args, void *workspace);
fil_status filk_cuda_double_run(void *device, const void *problem, const void *args,
                                void *workspace);
fil_status filk_cuda_softmax_run(void *device, const void *problem, const void *args,
                                 void *workspace);

extern const filk_device_plan filk_cuda_linear;
extern const filk_device_plan filk_cuda_conv3d;

/* Gives back what the vendor's libraries hold for the device. */
void filk_cuda_blas_close(filk_cuda_device *d);

#endif
