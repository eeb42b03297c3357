/* tests/unit/test_ctx.c: status names, options, errors and callbacks (base/ctx.h, filigree.h). */
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "base/mem.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static void every_status_has_a_name_and_a_text(void **state)
{
    (void)state;
    assert_string_equal(fil_status_name(FIL_OK), "OK");
    assert_string_equal(fil_status_name(FIL_E_FORMAT), "E_FORMAT");
    assert_string_equal(fil_status_text(FIL_E_FORMAT), "file is malformed");
    assert_string_equal(fil_status_name((fil_status)-1), "E_UNKNOWN");
    assert_string_equal(fil_status_text((fil_status)12345), "unknown status");
    assert_string_equal(fil_version(), FIL_VERSION_STRING);
}

static void defaults_open_a_context_and_closing_twice_is_fine(void **state)
{
    (void)state;
    fil_ctx *ctx;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    assert_true(fil_ctx_threads(ctx) >= 1);
    assert_true(fili_isa_from_name(fil_ctx_isa(ctx)) >= 0);
    assert_int_equal(fil_ctx_error(ctx)->status, FIL_OK);
    assert_string_equal(fil_ctx_error(ctx)->message, "");
    fil_ctx_close(&ctx);
    assert_null(ctx);
    fil_ctx_close(&ctx);
    fil_ctx_close(NULL);
}

/* Counts what is asked to lie in large pages. */
static void count_large(void *self, void *base, size_t bytes)
{
    size_t *sum = self;
    assert_int_equal((uintptr_t)base % ((size_t)2 << 20), 0);
    *sum += bytes;
}

static void large_blocks_ask_for_large_pages_and_small_ones_do_not(void **state)
{
    (void)state;
    const size_t large = ((size_t)8 << 20) + 100;
    size_t       sum   = 0;
    fili_os      os    = fili_os_posix;
    fil_ctx     *ctx;
    void        *block[2];
    os.self               = &sum;
    os.prefer_large_pages = count_large;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    assert_int_equal(fili_alloc(ctx, 1000000, "a small block", &block[0]), FIL_OK);
    assert_int_equal(sum, 0);
    assert_int_equal(fili_alloc(ctx, large, "a large block", &block[1]), FIL_OK);
    assert_int_equal(sum, large);
    memset(block[1], 1, large);
    fili_free(ctx, block[1], large);
    fili_free(ctx, block[0], 1000000);
    fil_ctx_close(&ctx);
}

static void refuse(const fil_options *opt, fil_status expected, const char *message)
{
    fil_ctx *ctx = (fil_ctx *)(uintptr_t)1;
    assert_int_equal(fil_ctx_open(&ctx, opt), expected);
    assert_null(ctx);
    assert_int_equal(fil_ctx_error(NULL)->status, expected);
    if (strstr(fil_ctx_error(NULL)->message, message) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(NULL)->message, message);
}

static void bad_options_are_refused_with_a_sentence(void **state)
{
    (void)state;
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = -1;
    refuse(&opt, FIL_E_ARG, "n_threads is -1");
    opt.n_threads = 1025;
    refuse(&opt, FIL_E_ARG, "n_threads is 1025");
    fil_options_init(&opt);
    opt.host.free = alloc_fault_allocator(NULL).free;
    refuse(&opt, FIL_E_ARG, "one function");
    fil_options_init(&opt);
    opt.limits.header_bytes = (1ull << 32) + 1;
    refuse(&opt, FIL_E_ARG, "header_bytes");
    memset(&opt, 0, sizeof opt);
    refuse(&opt, FIL_E_ARG, "fil_options_init");
    assert_int_equal(fil_ctx_open(NULL, NULL), FIL_E_ARG);
}

static void options_of_an_older_or_newer_caller_are_understood(void **state)
{
    (void)state;
    struct {
        fil_options opt;
        char        later[16];
    } newer;
    fil_ctx *ctx;
    memset(&newer, 0, sizeof newer);
    fil_options_init(&newer.opt);
    newer.opt.struct_size = sizeof newer;
    newer.opt.n_threads   = 3;
    assert_int_equal(fil_ctx_open(&ctx, &newer.opt), FIL_OK);
    assert_int_equal(fil_ctx_threads(ctx), 3);
    fil_ctx_close(&ctx);
    newer.later[5] = 1;
    refuse(&newer.opt, FIL_E_UNSUP, "does not know");

    fil_options older;
    fil_options_init(&older);
    older.struct_size   = (uint32_t)offsetof(fil_options, limits);
    older.limits.shards = 99999999; /* lies beyond what the caller claims to have filled */
    assert_int_equal(fil_ctx_open(&ctx, &older), FIL_OK);
    assert_int_equal(ctx->opt.limits.shards, 1024);
    fil_ctx_close(&ctx);
}

static void a_context_without_memory_is_refused(void **state)
{
    (void)state;
    alloc_fault fault = {.at = 0};
    fil_options opt;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&fault);
    refuse(&opt, FIL_E_NOMEM, "context");
    assert_int_equal(fault.live, 0);
}

static fil_status outer(fil_ctx *ctx);

static fil_status inner(fil_ctx *ctx)
{
    return FIL_FAIL(ctx, FIL_E_FORMAT, "found %d, expected %d", 3, 4);
}

static fil_status outer(fil_ctx *ctx)
{
    fil_status status;
    FIL_TRY_OR(fail, inner(ctx));
    return FIL_OK;
fail:
    fili_error_frame(ctx, "tensor %s", "a.b");
    return status;
}

static void the_first_failure_wins_and_frames_say_where(void **state)
{
    (void)state;
    fil_ctx *ctx;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    assert_int_equal(outer(ctx), FIL_E_FORMAT);
    fili_error_frame(ctx, "file %s", "x.safetensors");
    assert_int_equal(FIL_FAIL(ctx, FIL_E_IO, "a consequence"), FIL_E_IO);
    const fil_error *e = fil_ctx_error(ctx);
    assert_int_equal(e->status, FIL_E_FORMAT);
    assert_string_equal(e->message, "found 3, expected 4");
    assert_string_equal(e->function, "inner");
    assert_string_equal(e->file, "tests/unit/test_ctx.c");
    assert_int_equal(e->n_frames, 2);
    assert_string_equal(e->frame[0], "tensor a.b");
    assert_string_equal(e->frame[1], "file x.safetensors");
    for (int i = 0; i < 5; i++)
        fili_error_frame(ctx, "frame");
    assert_int_equal(e->n_frames, FIL_ERROR_FRAMES);
    fili_ctx_enter(ctx);
    assert_int_equal(fil_ctx_error(ctx)->status, FIL_OK);
    fili_error_frame(ctx, "no failure, no frame");
    assert_int_equal(fil_ctx_error(ctx)->n_frames, 0);
    fil_ctx_close(&ctx);
}

static void hostile_text_cannot_reach_a_terminal(void **state)
{
    (void)state;
    char text[] = "a\x1b[31m\xc2\x9b\xff\xc3\xa9\x7f\n\xe2\x82\xac\xed\xa0\x80\xc3";
    fili_printable(text);
    assert_string_equal(text, "a?[31m???\xc3\xa9??\xe2\x82\xac???");
    assert_true(fili_is_printable("blocks.0.\xc3\xa9", 11));
    assert_false(fili_is_printable("a\0b", 3));
    assert_false(fili_is_printable("\xc3", 1));
    assert_false(fili_is_printable("\xc2\x9b", 2));
    assert_false(fili_is_printable("\xc0\x80", 2));
    assert_false(fili_is_printable("\xf4\x90\x80\x80", 4));
}

static void long_names_are_shortened_in_the_middle(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'x', sizeof name);
    memcpy(name, "begin", 5);
    memcpy(name + sizeof name - 3, "end", 3);
    const fili_quoted q = fili_quote(name, sizeof name);
    assert_int_equal(strncmp(q.text, "begin", 5), 0);
    assert_non_null(strstr(q.text, "..."));
    assert_string_equal(q.text + strlen(q.text) - 3, "end");
    assert_true(strlen(q.text) < sizeof q.text);
    assert_string_equal(fili_quote("a\0b", 3).text, "a?b");
    assert_string_equal(fili_quote("", 0).text, "");
    for (size_t n = 0; n < 100; n++)
        assert_true(strlen(fili_quote(name, n).text) <= n);
}

typedef struct heard {
    int           logs, progress;
    fil_log_level level;
    char          text[FIL_ERROR_MESSAGE];
    fil_progress  last;
    int           cancel;
} heard;

static void on_log(void *user, fil_log_level level, const char *text)
{
    heard *h = user;
    h->logs++;
    h->level = level;
    strncpy(h->text, text, sizeof h->text - 1);
}

static void on_progress(void *user, const fil_progress *p)
{
    heard *h = user;
    h->progress++;
    h->last = *p;
}

static int on_cancel(void *user)
{
    return ((heard *)user)->cancel;
}

static void callbacks_hear_of_failures_progress_and_cancel(void **state)
{
    (void)state;
    heard       h = {0};
    fil_options opt;
    fil_ctx    *ctx;
    fil_options_init(&opt);
    opt.log      = on_log;
    opt.progress = on_progress;
    opt.cancel   = on_cancel;
    opt.user     = &h;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(FIL_FAIL(ctx, FIL_E_IO, "bell \a"), FIL_E_IO);
    assert_int_equal(h.logs, 1);
    assert_int_equal(h.level, FIL_LOG_ERROR);
    assert_string_equal(h.text, "bell ?");
    fili_progress(ctx, "load", 1, 2);
    assert_int_equal(h.progress, 1);
    assert_string_equal(h.last.phase, "load");
    fili_ctx_enter(ctx);
    assert_int_equal(fili_check_cancel(ctx), FIL_OK);
    h.cancel = 1;
    assert_int_equal(fili_check_cancel(ctx), FIL_E_CANCELLED);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_and_a_text),
        cmocka_unit_test(defaults_open_a_context_and_closing_twice_is_fine),
        cmocka_unit_test(bad_options_are_refused_with_a_sentence),
        cmocka_unit_test(options_of_an_older_or_newer_caller_are_understood),
        cmocka_unit_test(large_blocks_ask_for_large_pages_and_small_ones_do_not),
        cmocka_unit_test(a_context_without_memory_is_refused),
        cmocka_unit_test(the_first_failure_wins_and_frames_say_where),
        cmocka_unit_test(hostile_text_cannot_reach_a_terminal),
        cmocka_unit_test(long_names_are_shortened_in_the_middle),
        cmocka_unit_test(callbacks_hear_of_failures_progress_and_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
