/* tests/unit/test_gguf_faults.c: opening a GGUF file where every allocation and every system call
 * fails once and for ever: the right status, nothing held, and the next opening succeeds.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "io/tensors.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/gguf_make.h"

static scratch     folder;
static const char *path;

/* 300 kB of header, so that it is read in several pieces; enough tensors that the arena grows. */
static int make_file(void **state)
{
    enum { n = 40, list = 300000 };
    static gguf_info info[n];
    static char      names[n][24];
    static char      value[12 + list] = {
             0, 0, 0, 0, (char)(list & 255), (char)(list >> 8 & 255), (char)(list >> 16)};
    static char     target[512];
    const gguf_pair pairs[] = {
        {"general.architecture", GGUF_STRING, GGUF_VALUE("\3\0\0\0\0\0\0\0wan"), 0},
        {"general.list", GGUF_ARRAY, value, sizeof value, 0}};
    buffer file = {0};
    (void)state;
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "blocks.%d", i);
        info[i] = (gguf_info){.name = names[i], .rank = 2, .dims = {4, 2}, .bytes = 32};
    }
    const gguf_file f = {
        .pair = pairs, .n_pairs = 2, .info = info, .n_infos = n, .data = gguf_lay_out(info, n)};
    gguf_make(&file, &f);
    scratch_make(&folder);
    scratch_write(&folder, "x.gguf", file.data, file.bytes);
    snprintf(target, sizeof target, "%s", scratch_path(&folder, "x.gguf"));
    path = target;
    buffer_free(&file);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    scratch_remove(&folder);
    return 0;
}

/* Opens and closes once. Everything must be given back. */
static fil_status open_once(fil_ctx *ctx)
{
    fili_tensors set;
    fili_ctx_enter(ctx);
    fili_tensors_init(&set, ctx, 0);
    const fil_status status = fili_tensors_open(&set, path);
    assert_int_equal(status, fil_ctx_error(ctx)->status);
    if (status == FIL_OK) assert_int_equal(set.n_entries, 40);
    if (status == FIL_OK) assert_int_equal(set.n_pairs, 2);
    if (status != FIL_OK) assert_true(fil_ctx_error(ctx)->message[0] != '\0');
    fili_tensors_fini(&set);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    return status;
}

static void every_failing_allocation_gives_nomem_and_no_leak(void **state)
{
    alloc_fault fault = {.at = -1};
    fil_options opt;
    fil_ctx    *ctx = NULL;
    (void)state;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&fault);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    for (int forever = 0; forever < 2; forever++)
        for (int64_t at = 0;; at++) {
            fault                   = (alloc_fault){.at = at, .forever = forever, .live = 1};
            const fil_status status = open_once(ctx);
            assert_int_equal(fault.live, 1); /* the context */
            if (fault.failed == 0) {
                assert_int_equal(status, FIL_OK);
                assert_in_range(at, 7, 1000); /* the path is not empty */
                print_message("%d allocations\n", (int)at);
                break;
            }
            assert_int_equal(status, FIL_E_NOMEM);
        }
    fault.at = -1;
    fil_ctx_close(&ctx);
    assert_int_equal(fault.live, 0);
}

/* Runs over every call of one kind; `expected` is what a failure must give. At least `least` calls
 * are made. */
static void fail_each(os_call call, int error, int least, fil_status expected)
{
    for (int forever = 0; forever < 2; forever++)
        for (int64_t at = 0;; at++) {
            os_fault      fault = {.call = call, .at = -1};
            const fili_os os    = os_fault_table(&fault);
            fil_ctx      *ctx   = NULL;
            assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
            fault = (os_fault){.call = call, .at = at, .forever = forever, .error = error};
            const fil_status status = open_once(ctx);
            const int        hit    = fault.failed != 0;
            assert_int_equal(fault.open, 0);
            if (status != (hit ? expected : FIL_OK))
                fail_msg("%s %d at call %d: %s", os_call_name(call), error, (int)at,
                         fil_status_name(status));
            fault.at = -1;
            assert_int_equal(open_once(ctx), FIL_OK);
            fil_ctx_close(&ctx);
            if (hit) continue;
            assert_true(at >= least);
            break;
        }
}

static void every_failing_system_call_gives_io_and_no_leak(void **state)
{
    (void)state;
    fail_each(OS_OPENAT, EIO, 1, FIL_E_IO);
    fail_each(OS_OPENAT, ENOENT, 1, FIL_E_IO);
    fail_each(OS_FSTAT, EIO, 1, FIL_E_IO);
    fail_each(OS_PREAD, EIO, 4, FIL_E_IO);
    fail_each(OS_PREAD, ENOMEM, 4, FIL_E_IO);
}

static void short_and_interrupted_reads_and_failing_close_change_nothing(void **state)
{
    (void)state;
    fail_each(OS_PREAD, OS_SHORT_COUNT, 4, FIL_OK);
    fail_each(OS_CLOSE, EIO, 1, FIL_OK);
    for (int64_t at = 0;; at++) {
        os_fault      fault = {.call = OS_PREAD, .at = -1};
        const fili_os os    = os_fault_table(&fault);
        fil_ctx      *ctx   = NULL;
        assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
        fault = (os_fault){.call = OS_PREAD, .at = at, .error = EINTR};
        assert_int_equal(open_once(ctx), FIL_OK);
        fil_ctx_close(&ctx);
        if (fault.failed == 0) break;
    }
}

static void a_memory_limit_holds_to_the_byte(void **state)
{
    fil_options opt;
    fil_ctx    *ctx = NULL;
    (void)state;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    assert_int_equal(open_once(ctx), FIL_OK);
    const uint64_t peak = fil_ctx_memory(ctx).peak;
    fil_ctx_close(&ctx);
    fil_options_init(&opt);
    opt.max_host_bytes = peak;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(open_once(ctx), FIL_OK);
    fil_ctx_close(&ctx);
    opt.max_host_bytes = peak - 1;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(open_once(ctx), FIL_E_NOMEM);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_allocation_gives_nomem_and_no_leak),
        cmocka_unit_test(every_failing_system_call_gives_io_and_no_leak),
        cmocka_unit_test(short_and_interrupted_reads_and_failing_close_change_nothing),
        cmocka_unit_test(a_memory_limit_holds_to_the_byte),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
