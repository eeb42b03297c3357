/* tests/unit/test_piece_log.c: io/piece_log.h: pieces come back whatever became of the others, one
 * that was cut, changed or never written does not count, and every call that fails is told.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/piece_log.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/folder_rig.h"

/* The third is longer than what is read at once. */
enum { N = 4, MOST = 20000 };
static const size_t   bytes_of[N] = {5, 300, MOST, 1};
static const uint64_t place_of[N] = {0, 9, 400, 20500}; /* with holes */

static scratch dir;

static int set_up(void **state)
{
    return folder_rig_open(&dir, state);
}

static int tear_down(void **state)
{
    return folder_rig_close(&dir, state);
}

static const uint8_t *piece(int i)
{
    static uint8_t data[MOST];
    for (size_t k = 0; k < bytes_of[i]; k++)
        data[k] = (uint8_t)fili_philox_u32(3, (uint64_t)i, k);
    return data;
}

static fil_status open_log(fili_piece_log *log, fil_ctx *ctx, const char *made_of, bool goes_on)
{
    const fili_piece_log_what what = {
        .path = scratch_path(&dir, "log"), .made_of = made_of, .goes_on = goes_on};
    return fili_piece_log_open(log, ctx, &what);
}

static void put(fili_piece_log *log, int i)
{
    assert_int_equal(fili_piece_log_put(log, place_of[i], piece(i), bytes_of[i]), FIL_OK);
}

static void write_all(fil_ctx *ctx)
{
    fili_piece_log log;
    assert_int_equal(open_log(&log, ctx, "this", false), FIL_OK);
    for (int i = N - 1; i >= 0; i--)
        put(&log, i);
    fili_piece_log_close(&log);
}

/* Bit i of `there`: piece i comes back, and the others do not. */
static void assert_there(fil_ctx *ctx, unsigned there)
{
    static uint8_t room[MOST];
    fili_piece_log log;
    assert_int_equal(open_log(&log, ctx, "this", true), FIL_OK);
    for (int i = 0; i < N; i++) {
        const bool want = (there >> i & 1u) != 0;
        assert_int_equal(log.goes_on && fili_piece_log_has(&log, place_of[i], bytes_of[i]), want);
        fili_ctx_enter(ctx);
        const fil_status status = fili_piece_log_get(&log, place_of[i], room, bytes_of[i]);
        assert_int_equal(status, want ? FIL_OK : FIL_E_IO);
        if (want) assert_memory_equal(room, piece(i), bytes_of[i]);
    }
    fili_piece_log_close(&log);
    fili_piece_log_close(&log); /* idempotent */
}

static void pieces_come_back_from_where_they_were_put(void **state)
{
    write_all(*state);
    assert_there(*state, 15);
    fili_piece_log_remove(*state, scratch_path(&dir, "log"));
    fili_piece_log_remove(*state, NULL);
    assert_int_equal(scratch_count(&dir), 0);
}

static void one_that_was_never_written_does_not_count(void **state)
{
    for (int left_out = 0; left_out < N; left_out++) {
        fili_piece_log log;
        assert_int_equal(open_log(&log, *state, "this", false), FIL_OK);
        for (int i = 0; i < N; i++)
            if (i != left_out) put(&log, i);
        fili_piece_log_close(&log);
        assert_there(*state, 15u & ~(1u << left_out));
    }
}

/* Anywhere in a piece or its CRC; holes carry nothing. */
static void a_changed_bit_costs_the_piece_that_it_is_in(void **state)
{
    size_t size;
    write_all(*state);
    unsigned char *data = scratch_read(&dir, "log", &size);
    for (size_t at = FILI_PIECE_LOG_FRONT; at < size; at += at < 700 || at > 20760 ? 1 : 997) {
        unsigned there = 15;
        for (unsigned i = 0; i < N; i++) {
            const size_t from = FILI_PIECE_LOG_FRONT + (size_t)place_of[i];
            if (at >= from && at < from + bytes_of[i] + FILI_PIECE_CRC) there &= ~(1u << i);
        }
        data[at] ^= 0x04;
        scratch_write(&dir, "log", data, size);
        assert_there(*state, there);
        data[at] ^= 0x04;
    }
    free(data);
}

static void a_cut_costs_what_lies_behind_it(void **state)
{
    size_t size;
    write_all(*state);
    unsigned char *data = scratch_read(&dir, "log", &size);
    for (size_t cut = 0; cut <= size; cut += cut < 700 || cut > 20760 ? 1 : 997) {
        unsigned there = 0;
        for (unsigned i = 0; i < N; i++)
            if (cut >= FILI_PIECE_LOG_FRONT + (size_t)place_of[i] + bytes_of[i] + FILI_PIECE_CRC)
                there |= 1u << i;
        scratch_write(&dir, "log", data, cut);
        assert_there(*state, there);
    }
    free(data);
}

static void count_warning(void *user, fil_log_level level, const char *message)
{
    int *warnings = user;
    if (level == FIL_LOG_WARNING && strstr(message, "were made of something else") != NULL)
        ++*warnings;
}

static void what_was_made_of_something_else_does_not_count_and_that_is_said(void **state)
{
    int            warnings = 0;
    fil_ctx       *ctx;
    fil_options    opt;
    fili_piece_log log;
    write_all(*state);
    fil_options_init(&opt);
    opt.log  = count_warning;
    opt.user = &warnings;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(open_log(&log, ctx, "that", true), FIL_OK);
    assert_false(log.goes_on);
    fili_piece_log_close(&log);
    assert_int_equal(warnings, 1);
    assert_int_equal(open_log(&log, ctx, "that", true), FIL_OK); /* it is of that now, and empty */
    assert_true(log.goes_on);
    assert_false(fili_piece_log_has(&log, place_of[0], bytes_of[0]));
    fili_piece_log_close(&log);
    assert_int_equal(warnings, 1);
    fil_ctx_close(&ctx);
}

static void without_a_name_nothing_is_left(void **state)
{
    const fili_piece_log_what what = {.beside = scratch_path(&dir, "v.mp4"), .goes_on = true};
    uint8_t                   room[5];
    fili_piece_log            log;
    assert_int_equal(fili_piece_log_open(&log, *state, &what), FIL_OK);
    assert_int_equal(scratch_count(&dir), 0);
    assert_false(log.goes_on);
    put(&log, 0);
    assert_int_equal(fili_piece_log_get(&log, place_of[0], room, 5), FIL_OK);
    assert_memory_equal(room, piece(0), 5);
    fili_piece_log_close(&log);
    assert_int_equal(scratch_count(&dir), 0);
}

static void a_link_is_not_followed(void **state)
{
    fili_piece_log log;
    scratch_write(&dir, "mine", "mine", 4);
    assert_int_equal(symlink("mine", scratch_path(&dir, "log")), 0);
    assert_int_equal(open_log(&log, *state, "this", false), FIL_E_IO);
    size_t         size;
    unsigned char *data = scratch_read(&dir, "mine", &size);
    assert_int_equal(size, 4);
    free(data);
}

/* Not even to throw away what is there. */
static void one_that_is_in_use_is_not_opened(void **state)
{
    static uint8_t room[300];
    fili_piece_log log;
    fili_piece_log other;
    assert_int_equal(open_log(&log, *state, "this", false), FIL_OK);
    put(&log, 1);
    assert_int_equal(open_log(&other, *state, "that", false), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(*state)->message, "is in use by another run"));
    fili_piece_log_close(&other);
    assert_int_equal(fili_piece_log_get(&log, place_of[1], room, 300), FIL_OK);
    fili_piece_log_close(&log);
    assert_int_equal(open_log(&log, *state, "this", true), FIL_OK);
    assert_true(fili_piece_log_has(&log, place_of[1], bytes_of[1]));
    fili_piece_log_close(&log);
}

static void a_file_that_is_no_log_is_told(void **state)
{
    fil_ctx *ctx = *state;
    size_t   size;
    write_all(ctx);
    unsigned char *data = scratch_read(&dir, "log", &size);
    for (size_t n = 0; n <= 200; n++) { /* what a kill has left of one is one */
        scratch_write(&dir, "log", data, n);
        assert_int_equal(fili_piece_log_look(ctx, scratch_path(&dir, "log")), FIL_OK);
    }
    free(data);
    scratch_write(&dir, "log", "mine", 4);
    assert_int_equal(fili_piece_log_look(ctx, scratch_path(&dir, "log")), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "holds no frames"));
    assert_int_equal(fili_piece_log_look(ctx, scratch_path(&dir, "none")), FIL_OK);
}

static fil_status write_and_read(fil_ctx *ctx)
{
    static uint8_t room[MOST];
    fili_piece_log log;
    fil_status     status = open_log(&log, ctx, "this", false);
    if (status != FIL_OK) return status;
    for (int i = 0; status == FIL_OK && i < N; i++)
        status = fili_piece_log_put(&log, place_of[i], piece(i), bytes_of[i]);
    for (int i = 0; status == FIL_OK && i < N; i++)
        status = fili_piece_log_get(&log, place_of[i], room, bytes_of[i]);
    fili_piece_log_close(&log);
    return status;
}

/* Every call of writing and reading, once and for ever; whatever is then there is right. */
static void every_failing_call_is_told_and_leaves_right_pieces(void **state)
{
    static const os_call kinds[] = {OS_OPENAT, OS_PWRITE, OS_PREAD, OS_FTRUNCATE};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int forever = 0; forever < 2; forever++)
            for (int64_t at = 0;; at++) {
                os_fault fault = {.call = kinds[k], .at = -1, .forever = forever, .error = ENOSPC};
                const fili_os os = os_fault_table(&fault);
                fil_ctx      *ctx;
                assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
                fault.calls             = 0;
                fault.at                = at;
                const fil_status status = write_and_read(ctx);
                assert_int_equal(status, fault.failed > 0 ? FIL_E_IO : FIL_OK);
                assert_int_equal(fault.open, 0);
                fil_ctx_close(&ctx);
                if (status == FIL_OK) break;
                fili_piece_log log;
                assert_int_equal(open_log(&log, *state, "this", true), FIL_OK);
                for (int i = 0; i < N; i++) {
                    static uint8_t room[MOST];
                    if (!fili_piece_log_has(&log, place_of[i], bytes_of[i])) continue;
                    assert_int_equal(fili_piece_log_get(&log, place_of[i], room, bytes_of[i]),
                                     FIL_OK);
                    assert_memory_equal(room, piece(i), bytes_of[i]);
                }
                fili_piece_log_close(&log);
                assert_true(at < 100);
            }
}

static void a_mark_is_kept_beside_the_pieces_until_they_go(void **state)
{
    char           text[FILI_PIECE_MARK];
    fili_piece_log log;
    const char    *path = scratch_path(&dir, "log");
    assert_int_equal(fili_piece_log_mark(*state, path, "mine"), FIL_E_IO); /* nothing is there */
    assert_int_equal(scratch_count(&dir), 0);
    fili_ctx_enter(*state);
    write_all(*state);
    path = scratch_path(&dir, "log");
    assert_false(fili_piece_log_marked(*state, path, text));
    assert_int_equal(fili_piece_log_mark(*state, path, "first"), FIL_OK);
    assert_int_equal(fili_piece_log_mark(*state, path, "second"), FIL_OK);
    assert_true(fili_piece_log_marked(*state, path, text));
    assert_string_equal(text, "second");
    assert_there(*state, 15);
    assert_int_equal(open_log(&log, *state, "this", false), FIL_OK);
    fili_piece_log_close(&log);
    assert_false(fili_piece_log_marked(*state, scratch_path(&dir, "log"), text));
    scratch_write(&dir, "log", "mine", 4);
    assert_int_equal(fili_piece_log_mark(*state, scratch_path(&dir, "log"), "first"), FIL_E_IO);
    assert_false(fili_piece_log_marked(*state, scratch_path(&dir, "log"), text));
}

static void a_damaged_mark_is_none(void **state)
{
    char   text[FILI_PIECE_MARK];
    size_t size;
    write_all(*state);
    assert_int_equal(fili_piece_log_mark(*state, scratch_path(&dir, "log"), "first"), FIL_OK);
    unsigned char *data = scratch_read(&dir, "log", &size);
    for (size_t at = FILI_PIECE_LOG_HEAD; at < FILI_PIECE_LOG_FRONT; at++) {
        data[at] ^= 0x20;
        scratch_write(&dir, "log", data, size);
        assert_false(fili_piece_log_marked(*state, scratch_path(&dir, "log"), text));
        data[at] ^= 0x20;
    }
    for (size_t n = 0; n < FILI_PIECE_LOG_FRONT; n++) {
        scratch_write(&dir, "log", data, n);
        assert_false(fili_piece_log_marked(*state, scratch_path(&dir, "log"), text));
    }
    free(data);
}

static void its_size_on_disk_is_known(void **state)
{
    fili_piece_log log;
    size_t         size;
    assert_int_equal(open_log(&log, *state, "this", false), FIL_OK);
    for (int i = 0; i < 10; i++)
        assert_int_equal(
            fili_piece_log_put(&log, (uint64_t)i * (300 + FILI_PIECE_CRC), piece(1), 300), FIL_OK);
    fili_piece_log_close(&log);
    free(scratch_read(&dir, "log", &size));
    assert_int_equal(size, fili_piece_log_bytes(10, 3000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pieces_come_back_from_where_they_were_put),
        TEST(one_that_was_never_written_does_not_count),
        TEST(a_changed_bit_costs_the_piece_that_it_is_in),
        TEST(a_cut_costs_what_lies_behind_it),
        TEST(what_was_made_of_something_else_does_not_count_and_that_is_said),
        TEST(without_a_name_nothing_is_left),
        TEST(a_link_is_not_followed),
        TEST(one_that_is_in_use_is_not_opened),
        TEST(a_file_that_is_no_log_is_told),
        TEST(every_failing_call_is_told_and_leaves_right_pieces),
        TEST(a_mark_is_kept_beside_the_pieces_until_they_go),
        TEST(a_damaged_mark_is_none),
        TEST(its_size_on_disk_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
