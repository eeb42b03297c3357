/* kernel/cuda/attn_plan.h: what the Hopper row of attention works out in integers alone: the parts
 * of its workspace, what its tensor maps say, how places of the ring follow each other, how mask
 * words are walked. Plain C as well as CUDA, so that tests hold it on machines without a GPU. The
 * kernel is attn_fwd_sm90.cuh.
 */
#ifndef FILK_CUDA_ATTN_PLAN_H
#define FILK_CUDA_ATTN_PLAN_H

#ifdef __cplusplus
extern "C" {
#endif
#include "kernel/attention.h"
#ifdef __cplusplus
}
#endif

#include "kernel/cuda/both.h"

enum {
    FILK_RING_STAGES  = 7,       /* of keys, and of values */
    FILK_UNION_ROWS   = 3,       /* query blocks of a tile */
    FILK_WORD_BLOCKS  = 1 << 24, /* blocks and tiles that a word of the ring can name */
    FILK_ATTN90_ALIGN = 256
};

/* ---- ring ----------------------------------------------------------------------------------- */

/* Entries go round the stages. An entry's place in one word: turn * 8 + stage, modulo 2^16. Turns
 * are 2^13, an even number, so that parities alternate across the wrap. */

FILK_BOTH int filk_place_stage(uint32_t place)
{
    return (int)(place & 7);
}

FILK_BOTH uint32_t filk_place_parity(uint32_t place)
{
    return place >> 3 & 1;
}

FILK_BOTH uint32_t filk_place_next(uint32_t place)
{
    const uint32_t last = FILK_RING_STAGES - 1;
    return ((place & 7) == last ? place + 8 - last : place + 1) & 0xFFFF;
}

/* Whether place a comes before place b; they are near each other: less than half way round. What
 * lies above the 16 bits of a place does not count. */
FILK_BOTH int filk_place_before(uint32_t a, uint32_t b)
{
    return ((a - b) & 0x8000) != 0;
}

/* ---- mask words ----------------------------------------------------------------------------- */

/* Bits of a mask word that name a block: those behind the last of m mean nothing. */
FILK_BOTH uint32_t filk_mask_valid(int32_t m, int32_t word)
{
    const int32_t rest = m - 32 * word;
    return rest >= 32 ? ~0u : (1u << rest) - 1;
}

/* Bits of the blocks that two words leave out; `rest` blocks are left from the first word on, at
 * least 1. */
FILK_BOTH uint64_t filk_mask_left_out(uint32_t first, uint32_t second, int32_t rest)
{
    const uint64_t valid = rest >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << rest) - 1;
    return ~((uint64_t)second << 32 | first) & valid;
}

/* Takes the lowest bit out of *left, which is not 0, and returns its number; bit g of *who says
 * whether bits[g] has it, too. */
FILK_BOTH int filk_union_next(const uint32_t *bits, uint32_t *left, uint32_t *who)
{
#ifdef __CUDA_ARCH__
    const int bit = __ffs((int)*left) - 1;
#else
    const int bit = __builtin_ctz(*left);
#endif
    *who = (bits[0] >> bit & 1) | (bits[1] >> bit & 1) << 1 | (bits[2] >> bit & 1) << 2;
    *left &= *left - 1;
    return bit;
}

/* ---- workspace ------------------------------------------------------------------------------ */

/* Offsets. From `next` up to `lanes` it is zero at the start; sinks and tail: K, then V. */
typedef struct filk_attn90_layout {
    size_t next, norm, huge, lanes, sinks, sinks_v, tail, tail_v, bias, total;
} filk_attn90_layout;

/* Groups of 64 pooled keys. */
FILK_BOTH int32_t filk_attn90_tail_groups(const filk_attn_problem *p)
{
    return p->has_tail ? (p->mk + 63) / 64 : 0;
}

/* The place of so many bytes, the next one is aligned. */
FILK_BOTH size_t filk_attn90_take(size_t *at, size_t bytes)
{
    const size_t here = *at;
    *at += (bytes + FILK_ATTN90_ALIGN - 1) / FILK_ATTN90_ALIGN * FILK_ATTN90_ALIGN;
    return here;
}

FILK_BOTH filk_attn90_layout filk_attn90_layout_of(const filk_attn_problem *p)
{
    const size_t       kv    = (size_t)p->kv_heads;
    const size_t       mk    = (size_t)p->mk;
    const size_t       block = 64 * (size_t)p->head_dim * sizeof(uint16_t);
    const size_t       sinks = p->max_sinks > 0 ? kv * block : 0;
    const size_t       pools = kv * (size_t)filk_attn90_tail_groups(p);
    size_t             at    = 0;
    filk_attn90_layout l;
    l.next    = filk_attn90_take(&at, sizeof(int32_t));
    l.norm    = filk_attn90_take(&at, kv * sizeof(float));
    l.huge    = filk_attn90_take(&at, kv * ((mk + 31) / 32 + 1) * sizeof(uint32_t));
    l.lanes   = filk_attn90_take(&at, kv * mk * sizeof(uint64_t));
    l.sinks   = filk_attn90_take(&at, sinks);
    l.sinks_v = filk_attn90_take(&at, sinks);
    l.tail    = filk_attn90_take(&at, pools * block);
    l.tail_v  = filk_attn90_take(&at, pools * block);
    l.bias    = filk_attn90_take(&at, pools * 64 * sizeof(float));
    l.total   = at;
    return l;
}

/* Whether the words of the ring can name every key block and every tile. */
FILK_BOTH int filk_attn90_fits(const filk_attn_problem *p)
{
    const int64_t tiles = ((int64_t)p->mq + FILK_UNION_ROWS - 1) / FILK_UNION_ROWS;
    return p->mk <= FILK_WORD_BLOCKS && tiles * p->heads <= FILK_WORD_BLOCKS;
}

/* ---- tensor maps ---------------------------------------------------------------------------- */

/* Boxes of 64 tokens by 64 channels of a view [tokens, heads, dim]: sizes in elements, strides in
 * bytes, from the innermost on. */
typedef struct filk_box_map {
    uint64_t sizes[3], strides[2];
    uint32_t box[3];
} filk_box_map;

/* 0: base or strides are no multiples of 16 bytes. A stride that nothing steps over may be any. */
FILK_BOTH int filk_box_map_of(filk_box_map *m, const filk_attn_view *v, int32_t dim, int64_t tokens,
                              int32_t heads)
{
    const uint64_t step = 2 * (uint64_t)v->stride_n;
    const uint64_t turn = 2 * (uint64_t)v->stride_h;
    m->sizes[0]         = (uint64_t)dim;
    m->sizes[1]         = (uint64_t)tokens;
    m->sizes[2]         = (uint64_t)heads;
    m->strides[0]       = tokens > 1 ? step : 16;
    m->strides[1]       = heads > 1 ? turn : 16;
    m->box[0] = m->box[1] = 64;
    m->box[2]             = 1;
    return (uint64_t)(uintptr_t)v->data % 16 == 0 && m->strides[0] % 16 == 0 &&
           m->strides[1] % 16 == 0;
}

#endif
