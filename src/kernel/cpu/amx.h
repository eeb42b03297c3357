/* kernel/cpu/amx.h: the tile instructions of AMX: eight tiles of 16 rows x 64 bytes.
 *
 *     amx_begin();
 *     AMX_ZERO(0);
 *     AMX_LOAD(1, a, stride);      16 rows of 32 bf16
 *     AMX_LOAD(2, b, stride);      16 rows, each 16 pairs: row k has b[2k][n], b[2k + 1][n] beside
 * it AMX_DP(0, 1, 2);             c[m][n] += sum of a[m][k] b[k][n] over 32 k AMX_STORE(0, c,
 * stride);     16 rows of 16 f32 amx_end();
 *
 * Tiles are named by literals 0 to 7, and the three of AMX_DP differ. Strides are bytes between
 * rows; no address need be aligned. Denormal factors, sums and results count as zero whatever MXCSR
 * says. Any function may change tiles: between amx_begin and amx_end call nothing that is not
 * inlined. A thread that ends, sleeps or waits with tiles configured costs the system 8 KiB at each
 * switch.
 *
 * Assembly, since gcc's intrinsics carry no clobbers; assemblers know the instructions without a
 * flag. The kernel has been asked for its permission (base/cpu.h). In a build with FIL_EMULATE the
 * tiles are a model (tests/support/emulate/amx_model.c).
 */
#ifndef FILK_CPU_AMX_H
#define FILK_CPU_AMX_H

#include <stdint.h>

#if defined(FIL_EMULATE)

void filk_amx_model_begin(void);
void filk_amx_model_end(void);
void filk_amx_model_zero(int t);
void filk_amx_model_load(int t, const void *from, int64_t stride);
void filk_amx_model_store(int t, void *to, int64_t stride);
void filk_amx_model_dp(int c, int a, int b);

#define amx_begin                     filk_amx_model_begin
#define amx_end                       filk_amx_model_end
#define AMX_ZERO(t)                   filk_amx_model_zero(t)
#define AMX_LOAD(t, pointer, stride)  filk_amx_model_load(t, pointer, stride)
#define AMX_STORE(t, pointer, stride) filk_amx_model_store(t, pointer, stride)
#define AMX_DP(c, a, b)               filk_amx_model_dp(c, a, b)

#else

/* Operand of ldtilecfg. */
typedef struct amx_config {
    uint8_t  palette, start_row;
    uint8_t  reserved[14];
    uint16_t row_bytes[16];
    uint8_t  rows[16];
} amx_config;

/* All tiles are zero afterwards. */
static inline void amx_begin(void)
{
    _Alignas(64) static const amx_config config = {.palette   = 1,
                                                   .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                                   .rows      = {16, 16, 16, 16, 16, 16, 16, 16}};
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
}

static inline void amx_end(void)
{
    __asm__ volatile("tilerelease" : : : "memory");
}

#define AMX_TMM(t)  "%%tmm" #t
#define AMX_ZERO(t) __asm__ volatile("tilezero " AMX_TMM(t) : : :)
#define AMX_LOAD(t, pointer, stride)                                                               \
    __asm__ volatile("tileloadd (%0,%1,1), " AMX_TMM(t)                                            \
                     :                                                                             \
                     : "r"((const void *)(pointer)), "r"((int64_t)(stride))                        \
                     : "memory")
#define AMX_STORE(t, pointer, stride)                                                              \
    __asm__ volatile("tilestored " AMX_TMM(t) ", (%0,%1,1)"                                        \
                     :                                                                             \
                     : "r"((void *)(pointer)), "r"((int64_t)(stride))                              \
                     : "memory")
#define AMX_DP(c, a, b)                                                                            \
    __asm__ volatile("tdpbf16ps " AMX_TMM(b) ", " AMX_TMM(a) ", " AMX_TMM(c) : : :)

#endif

#endif
