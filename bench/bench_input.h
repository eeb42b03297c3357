/* bench/bench_input.h: memory and random tensors of a benchmark of attention, and an end where a
 * call fails.
 */
#ifndef BENCH_BENCH_INPUT_H
#define BENCH_BENCH_INPUT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "base/rng.h"
#include "kernel/attention.h"
#include "tensor/convert.h"

/* What a benchmark allocated; zero before the first. */
typedef struct bench_room {
    void *memory[24];
    int   n;
} bench_room;

static inline void bench_must(const fil_ctx *ctx, fil_status status)
{
    if (status == FIL_OK) return;
    fprintf(stderr, "%s\n", fil_ctx_error(ctx)->message);
    exit(1);
}

/* Zeroed, 64-byte aligned, with 64 bytes behind it. */
static inline void *bench_need(bench_room *room, size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (p == NULL || room->n == (int)(sizeof room->memory / sizeof room->memory[0])) exit(1);
    memset(p, 0, bytes);
    room->memory[room->n++] = p;
    return p;
}

/* Normal [N, H, D] of f32 or bf16. */
static inline filk_attn_view bench_normal(bench_room *room, fil_dtype dtype, int64_t n, int heads,
                                          int head_dim, uint64_t stream)
{
    const int64_t total = n * heads * head_dim;
    const size_t  size  = fil_dtype_bits(dtype) / 8;
    char         *data  = bench_need(room, (size_t)total * size);
    float         chunk[4096];
    for (int64_t i = 0; i < total; i += 4096) {
        const int64_t left = total - i < 4096 ? total - i : 4096;
        fili_philox_normal(1, stream, (uint64_t)i, chunk, left);
        fili_convert_row(fili_convert_select(FILI_ISA_REF), dtype, data + (size_t)i * size, FIL_F32,
                         chunk, (size_t)left);
    }
    return (filk_attn_view){
        .data = data, .stride_n = (int64_t)heads * head_dim, .stride_h = head_dim};
}

static inline void bench_drop(bench_room *room)
{
    for (int i = 0; i < room->n; i++)
        free(room->memory[i]);
    room->n = 0;
}

#endif
