/* base/cpu.h: which instruction set level this CPU has.
 *
 * Levels are a ladder per architecture: each contains the ones below it. A kernel row names the
 * lowest level it needs. FIL_ISA in the environment caps the level (never raises it).
 */
#ifndef FILI_BASE_CPU_H
#define FILI_BASE_CPU_H

#include "base/os.h"
#include "filigree/filigree.h"

typedef enum fili_isa {
    FILI_ISA_REF = 0,    /* the compiler's baseline: x86-64 SSE2, or armv8-a */
    FILI_ISA_NEON,       /* aarch64 */
    FILI_ISA_AVX2,       /* AVX2, FMA, F16C */
    FILI_ISA_AVX512,     /* + AVX-512 F, BW, DQ, VL, CD */
    FILI_ISA_AVX512BF16, /* + AVX512_BF16 */
    FILI_ISA_AMX,        /* + AMX-TILE, AMX-BF16, and the kernel's permission to use it */
    FILI_ISA_SM80,       /* a CUDA device from Ampere on: a ladder of the device, not of the CPU */
    FILI_ISA_SM90        /* Hopper: + TMA, wgmma */
} fili_isa;

#define FILI_ISA_COUNT 8

/* "ref", "neon", "avx2", "avx512", "avx512bf16", "amx", "sm80", "sm90". Static storage. */
const char *fili_isa_name(fili_isa isa);

/* -1 if there is no such name. */
int fili_isa_from_name(const char *name);

/* The highest level of this CPU and operating system. */
fili_isa fili_cpu_isa(const fili_os *os);

/* 1 if this build has a model of the level instead of its instructions: above AVX2 with FIL_EMULATE
 * (cmake/isa.cmake). Such a build is for tests: nothing that it measures is true of any CPU. */
int fili_cpu_emulates(fili_isa isa);

/* 1 if the level is one of a device: fil_ctx.device has it, not fil_ctx.isa. */
int fili_isa_is_device(fili_isa isa);

/* 1 if a kernel that needs `need` runs where the level is `have` (ladders do not cross). */
int fili_isa_has(fili_isa have, fili_isa need);

/* Threads to use by default: the CPUs of the affinity mask, cut to the cgroup's quota (v2
 * cpu.max, v1 cfs_quota_us), rounded up; at least 1. */
int32_t fili_default_threads(const fili_os *os);

#endif
