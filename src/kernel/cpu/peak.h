/* kernel/cpu/peak.h: how fast this CPU multiplies and adds when nothing else is in the way.
 *
 * A loop of independent multiply-adds on registers, for one instruction set: what a kernel's rate
 * is compared with. It is measured beside the kernel, in the same process and by the same clock, so
 * that frequency, temperature and neighbours are the same for both. It says nothing about memory.
 */
#ifndef FILK_CPU_PEAK_H
#define FILK_CPU_PEAK_H

#include "filigree/file.h"
#include "kernel/registry.h"

/* One loop: what it multiplies, and the multiplications and additions of one turn. */
typedef struct filk_peak_loop {
    const char *name; /* "vdpbf16ps zmm" */
    fili_isa    isa;
    fil_dtype   dtype; /* BF16 or F32: what the factors are */
    int64_t     flops; /* of one turn */
    void (*run)(int64_t turns);
} filk_peak_loop;

/* The loop for kernels on `isa` whose inputs are `dtype`: the fastest that `isa` has for the type,
 * f32 where it has none for bf16. Never NULL. */
const filk_peak_loop *filk_peak_find(fili_isa isa, fil_dtype dtype);

/* Floating-point operations per second on the context's threads: one window of about 10 ms. */
FIL_MUSTCHECK fil_status filk_peak_measure(fil_ctx *ctx, const filk_peak_loop *loop, double *rate);

/* Seconds on the clock by which everything here is timed: the thread's CPU time where the context
 * has one thread, so that what other programs take does not count; else the time that passes. */
double filk_seconds(const fil_ctx *ctx);

/* The loops, one file per instruction set. */
void filk_peak_base(int64_t turns);
void filk_peak_f32_avx2(int64_t turns);
void filk_peak_f32_avx512(int64_t turns);
void filk_peak_bf16_avx512bf16(int64_t turns);
void filk_peak_bf16_amx(int64_t turns);

#endif
