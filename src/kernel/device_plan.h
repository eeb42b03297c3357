/* kernel/device_plan.h: what the rows with plans have in common that run on a device: a plan of the
 * backend's behind one of ours, which begins with this struct and holds the problem. */
#ifndef FILK_DEVICE_PLAN_H
#define FILK_DEVICE_PLAN_H

#include "kernel/device_stage.h"

typedef struct filk_planned {
    const filk_device_plan *ops;
    void                   *inner; /* the backend's */
    size_t                  bytes; /* of the whole struct */
} filk_planned;

/* *plan: `bytes` zeroed bytes with a filk_planned in front. ops NULL: no backend is loaded. E_ARG
 * without a device; what the backend's create gives. */
FIL_MUSTCHECK fil_status filk_planned_create(fil_ctx *ctx, const void *problem,
                                             const filk_device_plan *ops, size_t bytes,
                                             void **plan);
void                     filk_planned_destroy(fil_ctx *ctx, void **plan);
size_t                   filk_planned_workspace(const void *plan);
size_t                   filk_planned_packed(const void *plan);

/* Lays out `bytes` of weights. `what` begins messages. */
FIL_MUSTCHECK fil_status filk_planned_pack(fil_ctx *ctx, const void *plan, const void *weight,
                                           size_t bytes, void *packed, void *workspace,
                                           const char *what);

#endif
