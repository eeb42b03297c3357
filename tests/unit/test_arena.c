/* tests/unit/test_arena.c: base/arena.h and base/mem.h. */
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/mem.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static alloc_fault fault;

static fil_ctx *open_ctx(uint64_t limit)
{
    fil_options opt;
    fil_ctx    *ctx;
    fault = (alloc_fault){.at = -1};
    fil_options_init(&opt);
    opt.host           = alloc_fault_allocator(&fault);
    opt.max_host_bytes = limit;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return ctx;
}

static void close_ctx(fil_ctx *ctx)
{
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
    assert_int_equal(fault.live, 0);
}

static void sizes_that_wrap_are_refused(void **state)
{
    (void)state;
    size_t   z = 7;
    uint64_t u = 7;
    assert_false(fili_add_size(SIZE_MAX, 1, &z));
    assert_false(fili_mul_size(SIZE_MAX / 2, 3, &z));
    assert_false(fili_add_u64(UINT64_MAX, 1, &u));
    assert_false(fili_mul_u64(1ull << 32, 1ull << 32, &u));
    assert_false(fili_align_u64(UINT64_MAX - 62, 64, &u));
    assert_int_equal(z, 7);
    assert_int_equal(u, 7);
    assert_true(fili_mul_u64(1ull << 32, (1ull << 32) - 1, &u));
    assert_true(u == 0xffffffff00000000u);
    assert_true(fili_align_u64(UINT64_MAX - 63, 64, &u));
    assert_true(u == UINT64_MAX - 63);
}

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    fil_ctx   *ctx = open_ctx(0);
    fili_arena arena;
    void      *piece[200];
    fili_arena_init(&arena, ctx, "test", 256);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(fili_arena_alloc(&arena, i + 1, &piece[i]), FIL_OK);
        assert_int_equal((uintptr_t)piece[i] % FILI_ALIGN, 0);
        memset(piece[i], (int)i, i + 1);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k <= i; k++)
            assert_int_equal(((unsigned char *)piece[i])[k], i);
    fili_arena_fini(&arena);
    close_ctx(ctx);
}

static void an_empty_piece_is_null_and_costs_nothing(void **state)
{
    (void)state;
    fil_ctx   *ctx = open_ctx(0);
    fili_arena arena;
    void      *p = ctx;
    fili_arena_init(&arena, ctx, "test", 0);
    assert_int_equal(fili_arena_alloc(&arena, 0, &p), FIL_OK);
    assert_null(p);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fili_arena_fini(&arena);
    close_ctx(ctx);
}

static void release_gives_back_what_came_after_the_mark(void **state)
{
    (void)state;
    fil_ctx   *ctx = open_ctx(0);
    fili_arena arena;
    void      *a;
    void      *b;
    void      *c;
    fili_arena_init(&arena, ctx, "test", 1024);
    assert_int_equal(fili_arena_alloc(&arena, 100, &a), FIL_OK);
    const fili_arena_mark mark = fili_arena_save(&arena);
    const uint64_t        held = fil_ctx_memory(ctx).used;
    assert_int_equal(fili_arena_alloc(&arena, 100, &b), FIL_OK);
    assert_int_equal(fili_arena_alloc(&arena, 100000, &c), FIL_OK);
    assert_true(fil_ctx_memory(ctx).used > held);
    fili_arena_release(&arena, mark);
    assert_int_equal(fil_ctx_memory(ctx).used, held);
    assert_int_equal(fili_arena_alloc(&arena, 100, &c), FIL_OK);
    assert_ptr_equal(b, c);
    assert_true(arena.peak > arena.used);
    fili_arena_fini(&arena);
    close_ctx(ctx);
}

static void a_fixed_arena_refuses_what_was_not_planned(void **state)
{
    (void)state;
    fil_ctx     *ctx = open_ctx(0);
    fili_arena   arena;
    void        *p;
    const size_t plan = fili_arena_piece(1000) + fili_arena_piece(24);
    fili_arena_init(&arena, ctx, "test", 0);
    assert_int_equal(fili_arena_fix(&arena, plan), FIL_OK);
    const int64_t calls = fault.calls;
    assert_int_equal(fili_arena_alloc(&arena, 1000, &p), FIL_OK);
    assert_int_equal(fili_arena_alloc(&arena, 24, &p), FIL_OK);
    assert_int_equal(fault.calls, calls); /* the plan was exact: nothing more was allocated */
    assert_int_equal(fili_arena_alloc(&arena, 1, &p), FIL_E_NOMEM);
    assert_null(p);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "planned"));
    fili_arena_fini(&arena);
    close_ctx(ctx);
}

static void absurd_sizes_are_out_of_memory_not_a_crash(void **state)
{
    (void)state;
    fil_ctx   *ctx = open_ctx(0);
    fili_arena arena;
    void      *p;
    char      *text;
    fili_arena_init(&arena, ctx, "test", 0);
    assert_int_equal(fili_arena_alloc(&arena, SIZE_MAX, &p), FIL_E_NOMEM);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_arena_alloc(&arena, SIZE_MAX - 70, &p), FIL_E_NOMEM);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_arena_calloc(&arena, SIZE_MAX / 2, 3, &p), FIL_E_NOMEM);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_arena_text(&arena, "", SIZE_MAX, &text), FIL_E_NOMEM);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_calloc(ctx, SIZE_MAX / 2, 3, "test", &p), FIL_E_NOMEM);
    fili_arena_fini(&arena);
    close_ctx(ctx);
}

static void the_memory_limit_holds_to_the_byte(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx(1000);
    void    *a;
    void    *b;
    assert_int_equal(fili_alloc(ctx, 600, "a", &a), FIL_OK);
    assert_int_equal(fili_alloc(ctx, 401, "b", &b), FIL_E_NOMEM);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "b needs 401 bytes"));
    fili_ctx_enter(ctx);
    assert_int_equal(fili_alloc(ctx, 400, "b", &b), FIL_OK);
    assert_int_equal(fil_ctx_memory(ctx).used, 1000);
    assert_int_equal(fil_ctx_memory(ctx).peak, 1000);
    fili_free(ctx, a, 600);
    fili_free(ctx, b, 400);
    assert_int_equal(fili_mem_reserve(ctx, 1000, "c"), FIL_OK);
    assert_int_equal(fili_mem_reserve(ctx, 1, "d"), FIL_E_NOMEM);
    fili_mem_release(ctx, 1000);
    close_ctx(ctx);
}

static void growing_keeps_the_content_or_the_old_block(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx(0);
    void    *p;
    assert_int_equal(fili_alloc(ctx, 8, "test", &p), FIL_OK);
    memcpy(p, "filigree", 8);
    assert_int_equal(fili_grow(ctx, &p, 8, 4096, "test"), FIL_OK);
    assert_memory_equal(p, "filigree", 8);
    void *old = p;
    fault.at  = fault.calls;
    assert_int_equal(fili_grow(ctx, &p, 4096, 8192, "test"), FIL_E_NOMEM);
    assert_ptr_equal(p, old);
    assert_memory_equal(p, "filigree", 8);
    fili_free(ctx, p, 4096);
    close_ctx(ctx);
}

static void every_allocation_of_an_arena_may_fail(void **state)
{
    (void)state;
    for (int64_t at = 0;; at++) {
        fil_ctx   *ctx = open_ctx(0);
        fili_arena arena;
        void      *p;
        fault.at          = fault.calls + at;
        fil_status status = FIL_OK;
        fili_arena_init(&arena, ctx, "test", 64);
        for (int i = 0; i < 20 && status == FIL_OK; i++)
            status = fili_arena_calloc(&arena, 10, 10, &p);
        assert_int_equal(status, fault.failed > 0 ? FIL_E_NOMEM : FIL_OK);
        const int64_t failed = fault.failed;
        fili_arena_fini(&arena);
        close_ctx(ctx);
        if (failed == 0) {
            assert_true(at > 2);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_that_wrap_are_refused),
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(an_empty_piece_is_null_and_costs_nothing),
        cmocka_unit_test(release_gives_back_what_came_after_the_mark),
        cmocka_unit_test(a_fixed_arena_refuses_what_was_not_planned),
        cmocka_unit_test(absurd_sizes_are_out_of_memory_not_a_crash),
        cmocka_unit_test(the_memory_limit_holds_to_the_byte),
        cmocka_unit_test(growing_keeps_the_content_or_the_old_block),
        cmocka_unit_test(every_allocation_of_an_arena_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
