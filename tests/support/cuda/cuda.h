/* tests/support/cuda/cuda.h: what the backend uses of the driver's interface: tensor maps
 * (machine.h, runtime.cc). */
#ifndef FIL_TEST_CUDA_H
#define FIL_TEST_CUDA_H

#include <stdint.h>

typedef uint32_t cuuint32_t;
typedef uint64_t cuuint64_t;

enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };
enum CUtensorMapDataType { CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9 };
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE = 0 };
enum CUtensorMapSwizzle { CU_TENSOR_MAP_SWIZZLE_128B = 3 };
enum CUtensorMapL2promotion { CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3 };
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0 };

/* Opaque to the backend. */
struct alignas(64) CUtensorMap {
    const unsigned char *base;
    uint64_t             size[3], stride[2]; /* elements; bytes */
    uint32_t             box[3];
    uint64_t             unused[8];
};

static_assert(sizeof(CUtensorMap) == 128, "as the driver's");

#endif
