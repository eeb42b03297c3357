/* tests/unit/test_io_faults.c: every allocation and every system call of opening a file and a
 * sharded model fails, once and for ever (method: support/fault.h). The right status, nothing left
 * behind, and the same context opens the same file afterwards.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "support/invariants.h"
#include "support/malformed.h"

typedef struct bench {
    scratch     dir;
    alloc_fault memory;
    os_fault    system;
    fili_os     os;
    fil_ctx    *ctx;
} bench;

static const char *const names[] = {"one.safetensors", INDEX_NAME};

/* Names and texts longer than a lexer's first buffer, escapes, metadata; and three shards. */
static const char one[] =
    "{\"__metadata__\":{\"format\":\"pt\",\"a \\u00e9scaped key\":\"a \\u00e9scaped value\"},"
    "\"transformer.blocks.0.attention.weight\":{\"dtype\":\"BF16\",\"shape\":[2,4],"
    "\"data_offsets\":[0,16]},\"transformer.blocks.0.attention.bias\\u0041\":{\"dtype\":\"F32\","
    "\"shape\":[1,1,1,1,1,1,1,4],\"data_offsets\":[16,32]}}";

static const char map[] =
    "{\"metadata\":{\"total_size\":48},\"weight_map\":{\"a\":\"a-00001.safetensors\","
    "\"b\":\"b-00002.safetensors\",\"c\":\"c-00003.safetensors\"}}";

static void set_up(bench *b)
{
    memset(b, 0, sizeof *b);
    scratch_make(&b->dir);
    blob file = blob_safetensors(one, sizeof one - 1, 32);
    scratch_write(&b->dir, names[0], file.data, file.bytes);
    blob_free(&file);
    scratch_write(&b->dir, names[1], map, sizeof map - 1);
    write_shard(&b->dir, "a-00001.safetensors", "a");
    write_shard(&b->dir, "b-00002.safetensors", "b");
    write_shard(&b->dir, "c-00003.safetensors", "c");
    b->memory.at = -1;
    b->system.at = -1;
    b->os        = os_fault_table(&b->system);
    fil_options opt;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&b->memory);
    assert_int_equal(fili_ctx_open_on(&b->os, &b->ctx, &opt), FIL_OK);
    alloc_fault_json(&b->memory);
}

static void tear_down(bench *b)
{
    alloc_fault_json(NULL);
    fil_ctx_close(&b->ctx);
    assert_int_equal(b->memory.live, 0);
    scratch_remove(&b->dir);
}

/* Opens, reads the first tensor whole, closes. */
static fil_status use(bench *b, const char *name, uint32_t flags)
{
    fili_tensors  set;
    unsigned char data[16];
    const char   *broken = NULL;
    fili_ctx_enter(b->ctx);
    fili_tensors_init(&set, b->ctx, flags);
    fil_status status = fili_tensors_open(&set, scratch_path(&b->dir, name));
    if (status == FIL_OK) status = fili_tensors_read(&set, &set.entries[0], 0, data, 16);
    if (status == FIL_OK && b->memory.at < 0 && b->system.at < 0) broken = tensors_broken(&set);
    for (size_t i = 0; i < sizeof data && status == FIL_OK; i++)
        assert_int_equal(data[i], 0x5a);
    fili_tensors_fini(&set);
    assert_null(broken);
    return status;
}

static void assert_nothing_is_held(const bench *b)
{
    assert_int_equal(b->memory.live, 1); /* the context */
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    assert_int_equal(b->system.open, 0);
    assert_int_equal(b->system.mapped, 0);
}

static void assert_usable_after(bench *b, const char *name, uint32_t flags)
{
    b->memory.at = -1;
    b->system.at = -1;
    assert_int_equal(use(b, name, flags), FIL_OK);
    assert_nothing_is_held(b);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Returns the number of allocations that were made to fail. */
static int fail_each_allocation(bench *b, const char *name, uint32_t flags, int forever)
{
    for (int at = 0;; at++) {
        b->memory.at            = at;
        b->memory.forever       = forever;
        b->memory.calls         = 0;
        b->memory.failed        = 0;
        const fil_status status = use(b, name, flags);
        assert_nothing_is_held(b);
        if (b->memory.failed == 0) {
            assert_int_equal(status, FIL_OK);
            return at;
        }
        if (status != FIL_E_NOMEM || fil_ctx_error(b->ctx)->status != FIL_E_NOMEM)
            fail_msg("allocation %d of %s: %s", at, name, fil_status_name(status));
        assert_usable_after(b, name, flags);
    }
}

static void every_failed_allocation_gives_e_nomem_and_leaves_nothing(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    for (int i = 0; i < 2; i++)
        for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++)
            for (int forever = 0; forever < 2; forever++) {
                const int n = fail_each_allocation(&b, names[i], flags, forever);
                printf("%s: %d allocations\n", names[i], n);
                assert_true(n > 20);
            }
    tear_down(&b);
}

static void every_limit_below_the_peak_gives_e_nomem(void **state)
{
    (void)state;
    bench b;
    set_up(&b);
    for (int i = 0; i < 2; i++) {
        b.ctx->memory.peak  = 0;
        b.ctx->memory.limit = 0;
        assert_int_equal(use(&b, names[i], 0), FIL_OK);
        const uint64_t peak = fil_ctx_memory(b.ctx).peak;
        for (uint64_t limit = 1; limit < peak; limit += 97) {
            b.ctx->memory.limit = limit;
            assert_int_equal(use(&b, names[i], 0), FIL_E_NOMEM);
            assert_nothing_is_held(&b);
        }
        b.ctx->memory.limit = peak - 1;
        assert_int_equal(use(&b, names[i], 0), FIL_E_NOMEM);
        b.ctx->memory.limit = peak;
        assert_int_equal(use(&b, names[i], 0), FIL_OK);
        assert_nothing_is_held(&b);
    }
    tear_down(&b);
}

/* ---- the system ----------------------------------------------------------------------------- */

typedef struct os_case {
    os_call call;
    int     error;
} os_case;

/* A close or munmap that fails gives its resource back all the same, and after a reader has its
 * bytes there is nothing to report. Interruptions and short counts that end are no failures. */
static fil_status expected(const os_fault *f)
{
    if (f->failed == 0 || f->call == OS_CLOSE || f->call == OS_MUNMAP) return FIL_OK;
    if (f->call == OS_PREAD && f->error == OS_SHORT_COUNT) return FIL_OK;
    const int passes = f->error == EINTR || f->error == EAGAIN;
    const int again  = f->call == OS_PREAD || f->call == OS_OPENAT;
    return passes && again && !f->forever ? FIL_OK : FIL_E_IO;
}

static int64_t fail_each_call(bench *b, const char *name, uint32_t flags)
{
    for (int64_t at = 0;; at++) {
        b->system.at            = at;
        b->system.calls         = 0;
        b->system.failed        = 0;
        const fil_status status = use(b, name, flags);
        assert_nothing_is_held(b);
        if (status != expected(&b->system))
            fail_msg("%s %d of %s, errno %d%s: %s '%s'", os_call_name(b->system.call), (int)at,
                     name, b->system.error, b->system.forever ? " for ever" : "",
                     fil_status_name(status), fil_ctx_error(b->ctx)->message);
        const int64_t failed = b->system.failed;
        assert_usable_after(b, name, flags);
        if (failed == 0) return at;
    }
}

static void every_failed_system_call_gives_its_status_and_leaves_nothing(void **state)
{
    (void)state;
    static const os_call calls[]  = {OS_OPENAT, OS_CLOSE, OS_PREAD, OS_FSTAT, OS_MMAP, OS_MUNMAP};
    static const int     errors[] = {EIO, EINTR, EAGAIN, ENOSPC, EMFILE, OS_SHORT_COUNT};
    bench                b;
    set_up(&b);
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++)
            for (int k = 0; k < 8; k++) {
                const uint32_t flags = k & 1 ? FIL_OPEN_TRUSTED : 0;
                if (errors[e] == OS_SHORT_COUNT && calls[c] != OS_PREAD) continue;
                b.system.call    = calls[c];
                b.system.error   = errors[e];
                b.system.forever = k & 2 ? 1 : 0;
                const int64_t n  = fail_each_call(&b, names[k >> 2], flags);
                if (flags != 0 || (calls[c] != OS_MMAP && calls[c] != OS_MUNMAP))
                    assert_true(n > 0);
                else
                    assert_int_equal(n, 0); /* an untrusted file is never mapped */
            }
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_gives_e_nomem_and_leaves_nothing),
        cmocka_unit_test(every_limit_below_the_peak_gives_e_nomem),
        cmocka_unit_test(every_failed_system_call_gives_its_status_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
