/* tests/kernel/attn_large.c: attention at the sizes of real videos, and tensors whose last element
 * lies beyond 2^31 elements and 2^32 bytes, as strides over a mapping with few real pages.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernel/attn_tests.h"

/* ---- many tokens ---------------------------------------------------------------------------- */

static void check_many(const filk_row *row, int64_t n)
{
    attn_case  c;
    attn_shape s = {.seed     = 51,
                    .nq       = n,
                    .nk       = n,
                    .heads    = 1,
                    .kv_heads = 1,
                    .head_dim = 64,
                    .dtype    = attn_dtype(row),
                    .mask     = MASK_RANDOM,
                    .density  = 2,
                    .n_sinks  = 16};
    if (row->isa == FILI_ISA_REF || check_is_sanitized()) s.mask = MASK_ONE;
    attn_make(&c, &s);
    if (attn_takes(row, &c)) attn_check(row, &c, 64, attn_cosine(s.dtype), NULL);
    attn_free(&c);
}

static void tokens_of_480p_32760(const filk_row *row)
{
    check_many(row, 32760);
}

static void tokens_of_720p_75600(const filk_row *row)
{
    check_many(row, 75600);
}

/* ---- far strides ---------------------------------------------------------------------------- */

#define PAGE 4096

typedef struct far_map {
    char  *map;
    size_t bytes;
} far_map;

static far_map far_reserve(int64_t bytes)
{
    far_map f = {.bytes = (size_t)bytes};
    f.map     = mmap(NULL, f.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (f.map == MAP_FAILED) check_fail("cannot reserve %zu bytes of addresses", f.bytes);
    return f;
}

/* Makes the pages of the piece real. */
static char *far_touch(const far_map *f, int64_t at, int64_t bytes)
{
    const int64_t begin = at / PAGE * PAGE;
    const int64_t end   = (at + bytes + PAGE - 1) / PAGE * PAGE;
    if (mprotect(f->map + begin, (size_t)(end - begin), PROT_READ | PROT_WRITE) != 0) abort();
    return f->map + at;
}

/* The same elements at other strides. */
static far_map far_copy(const attn_case *c, const attn_tensor *t, int64_t stride_n,
                        int64_t stride_h)
{
    const int64_t el  = (int64_t)fil_dtype_bits(c->p.dtype) / 8;
    const int64_t row = c->p.head_dim * el;
    far_map f = far_reserve(((t->n - 1) * stride_n + (t->heads - 1) * stride_h) * el + row + PAGE);
    for (int64_t i = 0; i < t->n; i++)
        for (int32_t h = 0; h < t->heads; h++)
            memcpy(far_touch(&f, (i * stride_n + h * stride_h) * el, row),
                   t->data + (i * t->stride_n + h * t->stride_h) * el, (size_t)row);
    return f;
}

static filk_attn_view far_view(const far_map *f, int64_t stride_n, int64_t stride_h)
{
    return (filk_attn_view){.data = f->map, .stride_n = stride_n, .stride_h = stride_h};
}

/* n_lists lists of `bytes` bytes each, `stride` bytes apart. */
static far_map far_lists(const void *from, int32_t n_lists, int64_t bytes, int64_t from_stride,
                         int64_t stride)
{
    far_map f = far_reserve((n_lists - 1) * stride + bytes + PAGE);
    for (int32_t i = 0; i < n_lists; i++)
        memcpy(far_touch(&f, i * stride, bytes), (const char *)from + i * from_stride,
               (size_t)bytes);
    return f;
}

enum { FAR_TENSORS = 6, FAR_LISTS = 3 };

static void check_far(const filk_row *row, const attn_case *c, int64_t stride_n, int64_t stride_h)
{
    const int64_t      el   = (int64_t)fil_dtype_bits(c->p.dtype) / 8;
    const int64_t      line = c->p.head_dim * el;
    const int64_t      gap  = (1ll << 31) + 5; /* of the lists, in elements */
    const attn_tensor *t[]  = {&c->q, &c->k, &c->v, &c->tail_k, &c->tail_v, &c->out};
    far_map            f[FAR_TENSORS];
    far_map            l[FAR_LISTS];
    filk_attn_args     a = c->a;
    for (int i = 0; i < FAR_TENSORS; i++)
        f[i] = far_copy(c, t[i], stride_n, stride_h);
    l[0] = far_lists(c->a.mask, c->p.heads, c->p.mq * ((c->p.mk + 31) / 32) * 4,
                     c->a.mask_stride_h * 4, gap * 4);
    l[1] =
        far_lists(c->a.sinks, c->p.kv_heads, c->a.n_sinks * 4ll, c->a.sinks_stride_h * 4, gap * 4);
    l[2] = far_lists(c->a.tail_count, c->p.kv_heads, c->p.mk * 4ll, c->a.tail_count_stride_h * 4,
                     gap * 4);
    a.q  = far_view(&f[0], stride_n, stride_h);
    a.k  = far_view(&f[1], stride_n, stride_h);
    a.v  = far_view(&f[2], stride_n, stride_h);
    a.tail_k        = far_view(&f[3], stride_n, stride_h);
    a.tail_v        = far_view(&f[4], stride_n, stride_h);
    a.out           = f[5].map;
    a.out_stride_n  = stride_n;
    a.out_stride_h  = stride_h;
    a.mask          = (const uint32_t *)(const void *)l[0].map;
    a.sinks         = (const int32_t *)(const void *)l[1].map;
    a.tail_count    = (const int32_t *)(const void *)l[2].map;
    a.mask_stride_h = a.sinks_stride_h = a.tail_count_stride_h = gap;

    check_buffer workspace;
    check_buffer_make(&workspace, row->workspace(&c->p, 2), 64, 0);
    for (int64_t i = 0; i < c->p.nq; i++)
        for (int32_t h = 0; h < c->p.heads; h++)
            memset(f[5].map + (i * stride_n + h * stride_h) * el, 0xAA, (size_t)line);
    if (row->run(attn_ctx(2), &c->p, &a, workspace.data) != FIL_OK) check_fail("run failed");
    for (int64_t i = 0; i < c->p.nq; i++)
        for (int32_t h = 0; h < c->p.heads; h++)
            check_same_bytes("out at far strides", f[5].map + (i * stride_n + h * stride_h) * el,
                             c->out.data + (i * c->out.stride_n + h * c->out.stride_h) * el,
                             (size_t)line);
    check_buffer_free(&workspace);
    for (int i = 0; i < FAR_TENSORS; i++)
        munmap(f[i].map, f[i].bytes);
    for (int i = 0; i < FAR_LISTS; i++)
        munmap(l[i].map, l[i].bytes);
}

static void elements_beyond_2_to_the_31_and_32(const filk_row *row)
{
    attn_case  c;
    attn_shape s = {.seed     = 52,
                    .nq       = 40,
                    .nk       = 40,
                    .heads    = 4,
                    .kv_heads = 2,
                    .head_dim = 64,
                    .dtype    = attn_dtype(row),
                    .ragged_q = 1,
                    .ragged_k = 1,
                    .density  = 50,
                    .tail     = 1,
                    .n_sinks  = 3};
    if (sizeof(size_t) < 8) check_skip();
    attn_make(&c, &s);
    if (!attn_takes(row, &c)) c.p.dtype = FIL_DTYPE_NONE;
    if (c.p.dtype != FIL_DTYPE_NONE) {
        attn_check(row, &c, 0, attn_cosine(s.dtype), NULL);
        check_far(row, &c, (1ll << 31) / 39 + 64, 64); /* token 39 is beyond 2^31 elements */
        check_far(row, &c, (1ll << 32) / 39 + 77, 99);
        check_far(row, &c, 64, (1ll << 31) + 9); /* head 1, and head 3 beyond 2^32 */
    }
    attn_free(&c);
}

const check_test attn_large_tests[] = {ATTN_TEST(tokens_of_480p_32760),
                                       ATTN_TEST(tokens_of_720p_75600),
                                       ATTN_TEST(elements_beyond_2_to_the_31_and_32),
                                       {NULL, NULL}};
