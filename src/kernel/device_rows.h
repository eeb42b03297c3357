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

typedef struct filk_backend_kernels {
    uint32_t                struct_size;
    filk_device_row         attn_fwd_bf16_sm90; /* views on 16 bytes: base and strides */
    filk_device_row         attn_fwd_bf16_mma;  /* views of any alignment */
    filk_device_row         mass_bf16_mma;
    filk_device_row         pooling;
    filk_device_row         norm;
    filk_device_row         select;
    const filk_device_plan *linear;
} filk_backend_kernels;

/* Of the loaded backend; NULL while none is loaded. */
static inline const filk_backend_kernels *filk_device_kernels(void)
{
    const fili_backend *b = fili_backend_loaded();
    return b != NULL ? (const filk_backend_kernels *)b->kernels : NULL;
}

#ifdef __cplusplus
}
#endif

#endif
