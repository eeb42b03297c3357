/* base/cpu.c: instruction set level from CPUID and the OS, and the default thread count from
 * affinity and cgroup. References: Intel SDM vol. 1 ch. 13 and 18 (XCR0, AMX permission);
 * Linux Documentation/admin-guide/cgroup-v2.rst (cpu.max).
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"

static const char *const isa_names[FILI_ISA_COUNT] = {"ref",        "neon", "avx2", "avx512",
                                                      "avx512bf16", "amx",  "sm80", "sm90"};

const char *fili_isa_name(fili_isa isa)
{
    return (unsigned)isa < FILI_ISA_COUNT ? isa_names[isa] : "?";
}

int fili_isa_from_name(const char *name)
{
    for (int i = 0; i < FILI_ISA_COUNT; i++)
        if (strcmp(name, isa_names[i]) == 0) return i;
    return -1;
}

int fili_isa_is_device(fili_isa isa)
{
    return isa == FILI_ISA_SM80 || isa == FILI_ISA_SM90;
}

int fili_isa_has(fili_isa have, fili_isa need)
{
    if (need == FILI_ISA_REF) return 1;
    if (fili_isa_is_device(have) != fili_isa_is_device(need)) return 0;
    if (need == FILI_ISA_NEON || have == FILI_ISA_NEON) return have == need;
    return have >= need;
}

int fili_cpu_emulates(fili_isa isa)
{
#if defined(FIL_EMULATE)
    return isa > FILI_ISA_AVX2 && isa <= FILI_ISA_AMX;
#else
    (void)isa;
    return 0;
#endif
}

#if defined(__x86_64__)
#include <cpuid.h>

#define XCR0_AVX    0x6u     /* XMM, YMM */
#define XCR0_AVX512 0xe0u    /* opmask, upper ZMM, ZMM 16-31 */
#define XCR0_AMX    0x60000u /* TILECFG, TILEDATA */

static unsigned xcr0(void)
{
    unsigned lo;
    unsigned hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    (void)hi;
    return lo;
}

fili_isa fili_cpu_isa(const fili_os *os)
{
    unsigned a;
    unsigned b1;
    unsigned b7;
    unsigned c1;
    unsigned c7;
    unsigned d;
    unsigned d7;
    if (!__get_cpuid(1, &a, &b1, &c1, &d)) return FILI_ISA_REF;
    const unsigned fma_osxsave_avx_f16c = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;
    if ((c1 & fma_osxsave_avx_f16c) != fma_osxsave_avx_f16c) return FILI_ISA_REF;
    const unsigned state = xcr0();
    if ((state & XCR0_AVX) != XCR0_AVX) return FILI_ISA_REF;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || !(b7 & 1u << 5)) return FILI_ISA_REF;
    if (fili_cpu_emulates(FILI_ISA_AMX)) return FILI_ISA_AMX;

    const unsigned f_dq_cd_bw_vl = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
    if ((b7 & f_dq_cd_bw_vl) != f_dq_cd_bw_vl) return FILI_ISA_AVX2;
    if ((state & XCR0_AVX512) != XCR0_AVX512) return FILI_ISA_AVX2;

    unsigned a71;
    unsigned b71;
    unsigned c71;
    unsigned d71;
    if (!__get_cpuid_count(7, 1, &a71, &b71, &c71, &d71) || !(a71 & 1u << 5))
        return FILI_ISA_AVX512;

    const unsigned bf16_tile = 1u << 22 | 1u << 24;
    if ((d7 & bf16_tile) != bf16_tile || (state & XCR0_AMX) != XCR0_AMX ||
        os->permit_amx(os->self) < 0)
        return FILI_ISA_AVX512BF16;
    return FILI_ISA_AMX;
}
#elif defined(__aarch64__)
fili_isa fili_cpu_isa(const fili_os *os)
{
    (void)os;
    return FILI_ISA_NEON;
}
#else
fili_isa fili_cpu_isa(const fili_os *os)
{
    (void)os;
    return FILI_ISA_REF;
}
#endif

/* ---- threads -------------------------------------------------------------------------------- */

/* Reads a small text file; 0 bytes if it is not there. Best effort: no cgroup, no limit. */
static size_t read_text(const fili_os *os, const char *path, char *text, size_t size)
{
    text[0]      = '\0';
    const int fd = os->openat(os->self, FILI_CWD, path, FILI_OPEN_READ);
    if (fd < 0) return 0;
    const int64_t n = os->pread(os->self, fd, text, size - 1, 0);
    (void)os->close(os->self, fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* CPUs that quota / period allows, rounded up; INT32_MAX if there is no limit. */
static int32_t quota_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) return INT32_MAX;
    const long long cpus = quota / period + (quota % period != 0);
    return cpus > INT32_MAX ? INT32_MAX : (int32_t)cpus;
}

static int32_t quota_v2(const fili_os *os, const char *group)
{
    char      path[600];
    char      text[64];
    char     *rest;
    const int n = snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    if (n < 0 || (size_t)n >= sizeof path) return INT32_MAX;
    if (read_text(os, path, text, sizeof text) == 0) return INT32_MAX;
    const long long quota = strtoll(text, &rest, 10);
    if (rest == text) return INT32_MAX; /* "max 100000" */
    return quota_cpus(quota, strtoll(rest, NULL, 10));
}

static int32_t quota_v1(const fili_os *os)
{
    char quota[64];
    char period[64];
    if (!read_text(os, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota))
        return INT32_MAX;
    if (!read_text(os, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period))
        return INT32_MAX;
    return quota_cpus(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The process's v2 group is the line "0::/path"; every ancestor's limit counts. */
static int32_t cgroup_cpus(const fili_os *os)
{
    char text[4096];
    (void)read_text(os, "/proc/self/cgroup", text, sizeof text);
    char   *group = strstr(text, "0::/");
    int32_t least = quota_v1(os);
    if (group == NULL) return least;
    group += 3;
    group[strcspn(group, "\n")] = '\0';
    if (strlen(group) > 512) return least;
    for (;;) {
        const int32_t cpus = quota_v2(os, group);
        if (cpus < least) least = cpus;
        char *slash = strrchr(group, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

int32_t fili_default_threads(const fili_os *os)
{
    const int32_t cpus  = os->cpu_count(os->self);
    const int32_t quota = cgroup_cpus(os);
    const int32_t n     = cpus < quota ? cpus : quota;
    return n < 1 ? 1 : n;
}
