/* tests/kernel/attn_promises.c: what holds around the numbers: the same bits for any number of
 * threads and every repetition, no allocation in a run (also none of the C library's own), the
 * promised workspace, cancelling. Guard bytes and the context's allocator are checked in every run
 * by attn_case.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "kernel/attn_tests.h"

static const attn_shape base = {.seed        = 41,
                                .nq          = 333,
                                .nk          = 400,
                                .heads       = 6,
                                .kv_heads    = 3,
                                .head_dim    = 64,
                                .ragged_q    = 1,
                                .ragged_k    = 1,
                                .density     = 35,
                                .tail        = 1,
                                .tail_factor = 1,
                                .n_sinks     = 11};

static attn_shape shape_for(const filk_row *row)
{
    attn_shape s = base;
    s.dtype      = attn_dtype(row);
    return s;
}

/* ---- allocations of the C library ----------------------------------------------------------- */

/* The executable's malloc replaces glibc's everywhere, in qsort too. The sanitizers bring their
 * own. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&       \
    !defined(__clang__)
#define COUNTS_MALLOC 1
void *__libc_malloc(size_t bytes);

static int counting;
static int counted;

/* Visible, so that the C library's own calls come here too. */
__attribute__((visibility("default"))) void *malloc(size_t bytes)
{
    counted += counting;
    return __libc_malloc(bytes);
}
#else
#define COUNTS_MALLOC 0
#endif

static void a_run_calls_no_malloc(const filk_row *row)
{
    if (fili_isa_is_device(row->isa)) check_skip(); /* the driver's memory is not ours to count */
#if COUNTS_MALLOC
    attn_case  c;
    attn_shape s = shape_for(row);
    s.ragged_q   = 1;
    s.nq         = 2000; /* enough tasks that glibc's qsort would want memory */
    s.nk         = row->isa == FILI_ISA_REF ? 20 : 400;
    attn_make(&c, &s);
    fil_ctx *ctx       = attn_ctx(1);
    void    *workspace = NULL;
    workspace          = aligned_alloc(64, (row->workspace(&c.p, 1) + 127) / 64 * 64);
    assert_non_null(workspace);
    fil_status status = row->run(ctx, &c.p, &c.a, workspace); /* warm: OpenMP makes its team */
    if (status != FIL_OK) check_fail("run: %s", fil_ctx_error(ctx)->message);
    counted  = 0;
    counting = 1;
    status   = row->run(ctx, &c.p, &c.a, workspace);
    counting = 0;
    if (status != FIL_OK) check_fail("run: %s", fil_ctx_error(ctx)->message);
    if (counted != 0) check_fail("run called malloc %d times", counted);
    free(workspace);
    attn_free(&c);
#else
    (void)row;
    check_skip();
#endif
}

/* ---- bits ----------------------------------------------------------------------------------- */

static void check_bits(const filk_row *row, const attn_shape *s, int repetitions)
{
    static const int32_t threads[] = {1, 2, 3, 7};
    attn_case            c;
    size_t               bytes;
    attn_make(&c, s);
    attn_run(row, &c, 1);
    unsigned char *first = attn_result(&c, &bytes);
    for (int i = 0; i < repetitions; i++)
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            attn_run(row, &c, threads[t]);
            unsigned char *again = attn_result(&c, &bytes);
            check_same_bytes("result with other threads", again, first, bytes);
            free(again);
        }
    free(first);
    attn_free(&c);
}

static void the_same_bits_for_1_2_3_7_threads_and_20_repetitions(const filk_row *row)
{
    attn_shape s = shape_for(row);
    if (row->isa == FILI_ISA_REF) s.nq = 60;
    if (row->isa == FILI_ISA_REF) s.nk = 150;
    check_bits(row, &s, check_is_sanitized() ? 3 : 20);
}

/* The head of a problem gives the bits that it gives alone: no batch position matters. */
static void a_head_alone_has_the_bits_it_has_among_others(const filk_row *row)
{
    attn_case  c;
    size_t     bytes;
    size_t     one;
    attn_shape s   = shape_for(row);
    s.nq           = 100;
    s.kv_heads     = s.heads;
    s.mask         = MASK_RANDOM;
    s.tail         = 0;
    s.sinks_shared = 1;
    s.no_lse       = 1;
    attn_make(&c, &s);
    attn_run(row, &c, 2);
    unsigned char *all  = attn_result(&c, &bytes);
    const size_t   size = fil_dtype_bits(s.dtype) / 8;
    const size_t   el   = (size_t)s.head_dim * size;
    attn_case      solo = c; /* shows head 4 of the same memory */
    solo.p.heads = solo.p.kv_heads = 1;
    solo.a.q.data                  = c.q.data + 4 * c.q.stride_h * (int64_t)size;
    solo.a.k.data                  = c.k.data + 4 * c.k.stride_h * (int64_t)size;
    solo.a.v.data                  = c.v.data + 4 * c.v.stride_h * (int64_t)size;
    solo.a.mask                    = c.a.mask + 4 * c.a.mask_stride_h;
    attn_shape t                   = s;
    t.heads = t.kv_heads = 1;
    attn_case target;
    attn_make(&target, &t);
    solo.out            = target.out;
    solo.shape          = t;
    solo.a.out          = target.a.out;
    solo.a.out_stride_n = target.a.out_stride_n;
    solo.a.out_stride_h = target.a.out_stride_h;
    attn_run(row, &solo, 3);
    unsigned char *alone = attn_result(&solo, &one);
    for (int64_t i = 0; i < s.nq; i++)
        check_same_bytes("out of head 4 alone", alone + (size_t)i * el,
                         all + ((size_t)i * 6 + 4) * el, el);
    free(all);
    free(alone);
    attn_free(&target);
    attn_free(&c);
}

/* ---- workspace ------------------------------------------------------------------------------ */

static void the_workspace_suffices_for_every_thread_count_and_grows_with_it(const filk_row *row)
{
    attn_case  c;
    attn_shape s  = shape_for(row);
    size_t     at = 0;
    s.nq          = 40;
    s.nk          = 70;
    attn_make(&c, &s);
    for (int32_t n = 1; n <= 8; n++) {
        const size_t bytes = row->workspace(&c.p, n);
        if (bytes < at) check_fail("workspace of %d threads: %zu, of fewer %zu", n, bytes, at);
        at = bytes;
        attn_run(row, &c, n); /* with exactly as much */
    }
    attn_free(&c);
}

/* ---- cancelling ----------------------------------------------------------------------------- */

static int cancel_now(void *user)
{
    (void)user;
    return 1;
}

static void a_run_after_a_cancelled_one_is_whole(const filk_row *row)
{
    attn_case   c;
    attn_shape  s = shape_for(row);
    fil_options opt;
    fil_ctx    *ctx = NULL;
    s.nq            = 70;
    s.nk            = 130;
    attn_make(&c, &s);
    fil_options_init(&opt);
    opt.n_threads = 2;
    opt.cancel    = cancel_now;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    check_buffer workspace;
    check_buffer_make(&workspace, row->workspace(&c.p, 2), 64, 0);
    const fil_status status = row->run(ctx, &c.p, &c.a, workspace.data);
    if (status != FIL_OK &&
        status != FIL_E_CANCELLED) /* a row may have no unit of work to stop at */
        check_fail("a cancelled run gave %s", fil_status_name(status));
    attn_check(row, &c, 0, attn_cosine(c.p.dtype), NULL);
    check_buffer_free(&workspace);
    fil_ctx_close(&ctx);
    attn_free(&c);
}

const check_test attn_promise_tests[] = {
    ATTN_TEST(a_run_calls_no_malloc),
    ATTN_TEST(the_same_bits_for_1_2_3_7_threads_and_20_repetitions),
    ATTN_TEST(a_head_alone_has_the_bits_it_has_among_others),
    ATTN_TEST(the_workspace_suffices_for_every_thread_count_and_grows_with_it),
    ATTN_TEST(a_run_after_a_cancelled_one_is_whole),
    {NULL, NULL}};
