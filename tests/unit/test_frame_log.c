/* tests/unit/test_frame_log.c: engine/frame_log.h: frames come back after any cut or flipped bit
 * but those that it met, another run's do not count, and a disk that fails costs the log alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/frame_log.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/folder_rig.h"

enum { W = 6, H = 4, FRAME = W * H * 3, N = 5, EACH = FRAME + 4 };

enum { HEAD = FILI_PIECE_LOG_HEAD, FRONT = FILI_PIECE_LOG_FRONT };

static scratch dir;
static uint8_t room[FRAME];

static int set_up(void **state)
{
    return folder_rig_open(&dir, state);
}

static int tear_down(void **state)
{
    return folder_rig_close(&dir, state);
}

static const uint8_t *frame_of(int32_t index)
{
    static uint8_t rgb[FRAME];
    for (int i = 0; i < FRAME; i++)
        rgb[i] = (uint8_t)fili_philox_u32(5, (uint64_t)index, (uint64_t)i);
    return rgb;
}

static fili_frame_log_what what(void)
{
    return (fili_frame_log_what){
        .path = scratch_path(&dir, "log"), .key = "0123", .n = N, .width = W, .height = H};
}

static fili_frame_log open_log(fil_ctx *ctx, int goes_on)
{
    const fili_frame_log_what w = what();
    fili_frame_log            log;
    fili_frame_log_open(&log, ctx, &w, goes_on);
    return log;
}

static void write_all(fil_ctx *ctx)
{
    fili_frame_log log = open_log(ctx, 0);
    for (int32_t i = 0; i < N; i++)
        fili_frame_log_put(&log, i, frame_of(i));
    assert_int_equal(log.kept, N);
    fili_frame_log_close(&log);
}

static void assert_kept(fil_ctx *ctx, int32_t kept)
{
    fili_frame_log log = open_log(ctx, 1);
    assert_int_equal(log.kept, kept);
    for (int32_t i = 0; i < kept; i++) {
        assert_int_equal(fili_frame_log_read(&log, i, room), FIL_OK);
        assert_memory_equal(room, frame_of(i), FRAME);
    }
    fili_frame_log_close(&log);
    fili_frame_log_close(&log); /* idempotent */
}

static void frames_come_back(void **state)
{
    fil_ctx *ctx = *state;
    size_t   bytes;
    write_all(ctx);
    assert_kept(ctx, N);
    free(scratch_read(&dir, "log", &bytes));
    assert_int_equal(bytes, fili_frame_log_bytes(N, W, H));
    fili_piece_log_remove(ctx, scratch_path(&dir, "log"));
    assert_int_equal(scratch_count(&dir), 0);
    fili_piece_log_remove(ctx, NULL);
}

static void every_cut_leaves_the_whole_frames(void **state)
{
    fil_ctx *ctx = *state;
    size_t   bytes;
    write_all(ctx);
    unsigned char *data = scratch_read(&dir, "log", &bytes);
    for (size_t cut = 0; cut <= bytes; cut++) {
        scratch_write(&dir, "log", data, cut);
        assert_kept(ctx, cut < FRONT ? 0 : (int32_t)((cut - FRONT) / EACH));
    }
    free(data);
}

static void a_flipped_bit_costs_the_frames_from_there_on(void **state)
{
    fil_ctx *ctx = *state;
    size_t   bytes;
    write_all(ctx);
    unsigned char *data = scratch_read(&dir, "log", &bytes);
    for (size_t at = 0; at < bytes; at++) {
        data[at] ^= 0x10;
        scratch_write(&dir, "log", data, bytes);
        if (at < HEAD || at >= FRONT) /* the mark between is no frame's */
            assert_kept(ctx, at < HEAD ? 0 : (int32_t)((at - FRONT) / EACH));
        data[at] ^= 0x10;
    }
    free(data);
}

static void it_goes_on_behind_what_is_kept(void **state)
{
    fil_ctx *ctx = *state;
    write_all(ctx);
    fili_frame_log log = open_log(ctx, 1);
    fili_frame_log_cut(&log, 2);
    fili_frame_log_put(&log, 2, frame_of(2));
    fili_frame_log_put(&log, 3, frame_of(3));
    assert_int_equal(log.kept, 4);
    fili_frame_log_close(&log);
    assert_kept(ctx, N);
}

static void frames_of_another_run_do_not_count(void **state)
{
    fil_ctx            *ctx = *state;
    fili_frame_log      log;
    fili_frame_log_what w = what();
    for (int k = 0; k < 3; k++) {
        write_all(ctx);
        w = what();
        if (k == 0) strcpy(w.key, "0124");
        if (k == 1) w.n = N + 4;
        if (k == 2) w.width = 2 * W;
        fili_frame_log_open(&log, ctx, &w, 1);
        assert_int_equal(log.kept, 0);
        fili_frame_log_close(&log);
        assert_kept(ctx, 0);
    }
    write_all(ctx);
    log = open_log(ctx, 0); /* begins anew */
    assert_int_equal(log.kept, 0);
    fili_frame_log_close(&log);
}

static void without_a_path_nothing_is_kept(void **state)
{
    fil_ctx            *ctx = *state;
    fili_frame_log_what w   = what();
    fili_frame_log      log;
    w.path = NULL;
    fili_frame_log_open(&log, ctx, &w, 1);
    fili_frame_log_put(&log, 0, frame_of(0));
    assert_int_equal(log.kept, 0);
    fili_frame_log_close(&log);
    assert_int_equal(scratch_count(&dir), 0);
}

/* Any call, once or for ever: no failure of the run, no descriptor lost, no wrong frame kept. */
static void any_call_that_fails_costs_the_log_alone(void **state)
{
    for (int forever = 0; forever < 2; forever++)
        for (int64_t at = 0; at < 200; at++) {
            os_fault      fault = {.call = OS_ANY, .at = -1, .forever = forever, .error = ENOSPC};
            const fili_os os    = os_fault_table(&fault);
            fil_ctx      *ctx   = NULL;
            assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
            fault.calls        = 0;
            fault.at           = at;
            fili_frame_log log = open_log(ctx, 0);
            for (int32_t i = 0; i < N; i++)
                fili_frame_log_put(&log, i, frame_of(i));
            fili_frame_log_close(&log);
            const int64_t failed = fault.failed;
            fault.at             = -1;
            assert_int_equal(fault.open, 0);
            assert_int_equal(fil_ctx_error(ctx)->status, FIL_OK);
            fil_ctx_close(&ctx);
            if (failed == 0) {
                assert_true(at > 2 * N);
                assert_kept(*state, N);
                break;
            }
            log = open_log(*state, 1);
            for (int32_t i = 0; i < log.kept; i++) {
                assert_int_equal(fili_frame_log_read(&log, i, room), FIL_OK);
                assert_memory_equal(room, frame_of(i), FRAME);
            }
            fili_frame_log_close(&log);
        }
}

/* What a kill has left of a log is one, however short it is. */
static void a_file_that_is_no_log_is_told(void **state)
{
    fil_ctx *ctx = *state;
    size_t   bytes;
    write_all(ctx);
    unsigned char *data = scratch_read(&dir, "log", &bytes);
    for (size_t n = 0; n <= bytes; n++) {
        scratch_write(&dir, "log", data, n);
        assert_int_equal(fili_piece_log_look(ctx, what().path), FIL_OK);
    }
    free(data);
    scratch_write(&dir, "log", "mine", 4);
    assert_int_equal(fili_piece_log_look(ctx, what().path), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "holds no frames"));
    assert_int_equal(fili_piece_log_look(ctx, scratch_path(&dir, "none")), FIL_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_come_back),
        TEST(every_cut_leaves_the_whole_frames),
        TEST(a_flipped_bit_costs_the_frames_from_there_on),
        TEST(it_goes_on_behind_what_is_kept),
        TEST(frames_of_another_run_do_not_count),
        TEST(a_file_that_is_no_log_is_told),
        TEST(without_a_path_nothing_is_kept),
        TEST(any_call_that_fails_costs_the_log_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
