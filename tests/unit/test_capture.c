/* tests/unit/test_capture.c: engine/capture.h and fil_generate_options.capture: what is written is
 * q, k, v of the calls that were asked for, in raster order, and a run is not changed by it.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/video_job.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/scratch_dir.h"
#include "tensor/convert.h"

static fil_ctx *open_ctx(void)
{
    fil_ctx *ctx = NULL;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    return ctx;
}

/* ---- which calls ---------------------------------------------------------------------------- */

static void a_request_names_layers_steps_and_passes(void **state)
{
    (void)state;
    fil_ctx     *ctx = open_ctx();
    fili_capture c;
    assert_int_equal(fili_capture_parse(&c, ctx, "0,5,10-12:4,15"), FIL_OK);
    assert_true(fili_capture_wants(&c, 0, 4, 0) && fili_capture_wants(&c, 11, 15, 0));
    assert_false(fili_capture_wants(&c, 0, 4, 1)); /* the negative prompt's pass */
    assert_false(fili_capture_wants(&c, 1, 4, 0));
    assert_false(fili_capture_wants(&c, 0, 5, 0));
    assert_int_equal(fili_capture_parse(&c, ctx, "all:0:0-1"), FIL_OK);
    assert_true(fili_capture_wants(&c, 39, 0, 0) && fili_capture_wants(&c, 39, 0, 1));
    assert_false(fili_capture_wants(&c, 39, 1, 0));
    assert_int_equal(fili_capture_parse(&c, ctx, "3:all:all"), FIL_OK);
    assert_true(fili_capture_wants(&c, 3, 49, 1));
    c = (fili_capture){.ctx = ctx}; /* nothing was asked for */
    assert_false(fili_capture_wants(&c, 0, 0, 0));
    fil_ctx_close(&ctx);
}

static void what_is_no_request_is_refused(void **state)
{
    static const char *const bad[] = {
        "",    "0",   ":",      "0:",   ":0",    "0:0:", "0:0:0:0", "a:0",
        "0:b", "all", "0:0:al", "0-:1", "0;1:2", "0: 1", "alls:1",  "0:1:-1"};
    (void)state;
    fil_ctx     *ctx = open_ctx();
    fili_capture c;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fili_capture_parse(&c, ctx, bad[i]) != FIL_E_ARG) fail_msg("'%s' was taken", bad[i]);
    fil_ctx_close(&ctx);
}

static void numbers_are_written_without_a_locale(void **state)
{
    static const struct {
        double      value;
        int         decimals;
        const char *text;
    } want[] = {{0.0, 9, "0"},
                {1.0, 9, "1"},
                {0.5, 9, "0.5"},
                {0.923165679, 9, "0.923165679"},
                {923.0, 6, "923"},
                {4.25, 6, "4.25"},
                {0.000000001, 9, "0.000000001"},
                {0.9999999999, 9, "1"},
                {999.0625, 6, "999.0625"}};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_string_equal(fili_fixed_text(want[i].value, want[i].decimals).text, want[i].text);
}

/* ---- a file --------------------------------------------------------------------------------- */

enum { HEADS = 3, HEAD_DIM = 64, PAD = 5 /* elements behind a head's */ };

/* What token, head and element of q (0), k (1) or v (2) hold. Exact in f32. */
static float value_at(int which, int32_t token, int32_t h, int32_t d)
{
    return (float)(((which * 7000 + token) * HEADS + h) * HEAD_DIM + d);
}

/* Tokens in the order, with gaps between heads. */
static float *ordered(const fili_order *order, int which)
{
    float *rows = calloc((size_t)order->n * HEADS * (HEAD_DIM + PAD), sizeof *rows);
    float *p    = rows;
    assert_non_null(rows);
    for (int32_t i = 0; i < order->n; i++)
        for (int32_t h = 0; h < HEADS; h++, p += HEAD_DIM + PAD)
            for (int32_t d = 0; d < HEAD_DIM; d++)
                p[d] = value_at(which, order->order[i], h, d);
    return rows;
}

static void check_tensor(fil_ctx *ctx, const char *path, const char *name, int which, int32_t n)
{
    int64_t      count;
    float       *data = fixture_tensor(ctx, path, name, FIL_F32, &count);
    const float *p    = data;
    assert_int_equal(count, (int64_t)n * HEADS * HEAD_DIM);
    for (int32_t t = 0; t < n; t++)
        for (int32_t h = 0; h < HEADS; h++)
            for (int32_t d = 0; d < HEAD_DIM; d++)
                if (*p++ != value_at(which, t, h, d))
                    fail_msg("%s: token %d, head %d, element %d", name, (int)t, (int)h, (int)d);
    free(data);
}

static void a_file_holds_tokens_in_raster_order(void **state)
{
    (void)state;
    fil_ctx        *ctx = open_ctx();
    fili_order_spec spec;
    fili_order      order;
    float          *rows[3];
    assert_int_equal(fili_order_parse(ctx, "hilbert", &spec), FIL_OK);
    assert_int_equal(fili_order_init(&order, ctx, (fili_grid){3, 7, 9}, &spec), FIL_OK);
    for (int i = 0; i < 3; i++)
        rows[i] = ordered(&order, i);
    const int64_t          head = HEAD_DIM + PAD;
    const fili_policy_call call = {.order    = &order,
                                   .heads    = HEADS,
                                   .head_dim = HEAD_DIM,
                                   .dtype    = FIL_F32,
                                   .q        = {rows[0], HEADS * head, head},
                                   .k        = {rows[1], HEADS * head, head},
                                   .v        = {rows[2], HEADS * head, head}};
    const size_t           room = fili_capture_rows_bytes(HEADS, HEAD_DIM, FIL_F32);
    fili_capture           c    = {.ctx = ctx, .rows = malloc(room)};
    const fil_pair         pair = {"layer", "5"};
    const char            *path = scratch_path(&dir, "c.safetensors");
    assert_int_equal(fili_capture_write(&c, path, &call, &pair, 1, 0), FIL_OK);
    check_tensor(ctx, path, "q", 0, order.n);
    check_tensor(ctx, path, "k", 1, order.n);
    check_tensor(ctx, path, "v", 2, order.n);
    assert_int_equal(fili_capture_write(&c, path, &call, &pair, 1, 0), FIL_E_IO);
    for (int i = 0; i < 3; i++)
        free(rows[i]);
    free(c.rows);
    fili_order_fini(&order);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
}

/* ---- a run of the demo model ---------------------------------------------------------------- */

enum { STEPS = 2, LATENTS = 16 * 2 * 6 * 4, TOKENS = 2 * 3 * 2, DIM = 256 };

typedef struct bench {
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
    fil_policy_options   policy;
    char                 latents[300], folder[300];
} bench;

static void open_bench_with(bench *b, const fil_options *opt)
{
    b->ctx = NULL;
    assert_int_equal(fil_ctx_open(&b->ctx, opt), FIL_OK);
    b->model = demo_open(b->ctx, NULL);
    snprintf(b->latents, sizeof b->latents, "%s", scratch_path(&dir, "l.safetensors"));
    snprintf(b->folder, sizeof b->folder, "%s", scratch_path(&dir, "captures"));
    fil_policy_options_init(&b->policy);
    fil_generate_options_init(&b->o);
    b->o.prompt       = "A red \"fox\"\n in the snow.";
    b->o.negative     = "x";
    b->o.width        = 32;
    b->o.height       = 48;
    b->o.frames       = 5;
    b->o.steps        = STEPS;
    b->o.precision    = FIL_F32;
    b->o.policy       = &b->policy;
    b->o.save_latents = b->latents;
    b->o.replace      = 1;
}

static void open_bench(bench *b)
{
    open_bench_with(b, NULL);
}

static void close_bench(bench *b)
{
    fil_model_close(&b->model);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
}

static void run(bench *b)
{
    if (fil_generate(b->model, &b->o, NULL) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
}

static int count_files(const bench *b)
{
    scratch folder;
    snprintf(folder.path, sizeof folder.path, "%.255s", b->folder);
    return scratch_count(&folder);
}

static void a_run_writes_the_calls_that_were_asked_for(void **state)
{
    (void)state;
    bench    b;
    fil_plan p;
    SKIP_WITHOUT_DEMO();
    open_bench(&b);
    b.o.capture    = "all:1:0-1";
    b.o.capture_to = b.folder;
    assert_int_equal(fil_generate_check(b.model, &b.o, &p), FIL_OK);
    assert_int_equal(scratch_count(&dir), 0); /* a plan leaves nothing behind */
    assert_int_equal(p.captures, 4);
    assert_int_equal(p.capture_bytes, 4 * 3 * TOKENS * DIM * 4);
    run(&b);
    assert_int_equal(count_files(&b), 4);
    for (int i = 0; i < 4; i++) {
        char    name[80];
        int64_t n;
        snprintf(name, sizeof name, "captures/layer%03d_step001_pass%d.safetensors", i / 2, i % 2);
        free(fixture_tensor(b.ctx, scratch_path(&dir, name), "k", FIL_F32, &n));
        assert_int_equal(n, TOKENS * DIM);
    }
    close_bench(&b);
}

static const char *metadata_of(const fil_file *file, const char *wanted)
{
    const char *key;
    const char *value;
    for (size_t i = 0; i < fil_file_metadata_pairs(file); i++) {
        fil_file_metadata(file, i, &key, &value);
        if (strcmp(key, wanted) == 0) return value;
    }
    return "none";
}

static void metadata_tell_the_run_and_the_call(void **state)
{
    static const char *const want[][2] = {{"grid", "2,3,2"},
                                          {"layer", "1"},
                                          {"layers", "2"},
                                          {"step", "0"},
                                          {"steps", "2"},
                                          {"pass", "0"},
                                          {"timestep", "999"},
                                          {"guidance", "5"},
                                          {"shift", "5"},
                                          {"sampler", "unipc"},
                                          {"seed", "0"},
                                          {"negative", "x"},
                                          {"prompt", "A red \"fox\"? in the snow."}};
    (void)state;
    bench     b;
    fil_file *file = NULL;
    SKIP_WITHOUT_DEMO();
    open_bench(&b);
    b.o.capture = "1:0";
    run(&b);
    assert_int_equal(scratch_count(&dir), 2); /* beside the latents */
    const char *path = scratch_path(&dir, "l.safetensors.layer001_step000_pass0.safetensors");
    assert_int_equal(fil_file_open(b.ctx, path, 0, &file), FIL_OK);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_string_equal(metadata_of(file, want[i][0]), want[i][1]);
    fil_file_close(&file);
    close_bench(&b);
}

/* In f32 the sequence of the tokens changes rounding alone: so what is captured in one order is
 * what is captured in another. */
static void captures_do_not_depend_on_the_order_of_the_run(void **state)
{
    static const char *const order[] = {"raster", "hilbert"};
    float                   *x[2][3];
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int i = 0; i < 2; i++) {
        bench b;
        open_bench(&b);
        b.policy.order = order[i];
        b.o.capture    = "1:1";
        b.o.capture_to = b.folder;
        run(&b);
        const char *path = scratch_path(&dir, "captures/layer001_step001_pass0.safetensors");
        for (int t = 0; t < 3; t++) {
            int64_t n;
            x[i][t] = fixture_tensor(b.ctx, path, (const char *[]){"q", "k", "v"}[t], FIL_F32, &n);
        }
        close_bench(&b);
    }
    for (int t = 0; t < 3; t++) {
        double error = 0.0;
        double sum   = 0.0;
        for (int i = 0; i < TOKENS * DIM; i++) {
            error += pow((double)x[0][t][i] - (double)x[1][t][i], 2.0);
            sum += pow((double)x[0][t][i], 2.0);
        }
        assert_true(sum > 0.0 && error <= sum * 1e-10);
        free(x[0][t]);
        free(x[1][t]);
    }
}

static void capturing_changes_no_bit_of_the_latents(void **state)
{
    float *x[2];
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int i = 0; i < 2; i++) {
        bench   b;
        int64_t n;
        open_bench(&b);
        b.o.capture = i == 0 ? NULL : "all:all:all";
        run(&b);
        x[i] = fixture_tensor(b.ctx, b.latents, "latents", FIL_F32, &n);
        assert_int_equal(n, LATENTS);
        close_bench(&b);
    }
    assert_memory_equal(x[0], x[1], LATENTS * sizeof(float));
    free(x[0]);
    free(x[1]);
}

static void refused(bench *b, const char *capture, fil_status status, const char *part)
{
    fil_plan p;
    b->o.capture           = capture;
    const fil_status found = fil_generate_check(b->model, &b->o, &p);
    if (found != status || strstr(fil_ctx_error(b->ctx)->message, part) == NULL)
        fail_msg("'%s': %s: %s", capture != NULL ? capture : "", fil_status_name(found),
                 fil_ctx_error(b->ctx)->message);
}

static void what_the_run_does_not_have_is_refused_before_it_begins(void **state)
{
    (void)state;
    bench b;
    SKIP_WITHOUT_DEMO();
    open_bench(&b);
    refused(&b, "0-2:0", FIL_E_ARG, "expected layers 0 to 1, which the run has, found 2");
    refused(&b, "0:2", FIL_E_ARG, "expected steps 0 to 1");
    refused(&b, "0:0:2", FIL_E_ARG, "expected passes 0 to 1");
    b.o.guidance = 1.0;
    refused(&b, "0:0:1", FIL_E_ARG, "expected passes 0 to 0");
    refused(&b, "0", FIL_E_ARG, "LAYERS:STEPS");
    b.o.capture_to = "no/such/folder";
    refused(&b, "0:0", FIL_E_IO, "no/such");
    refused(&b, NULL, FIL_E_ARG, "nothing to capture");
    b.o.capture_to = b.folder;
    assert_int_equal(fili_dir_make(b.ctx, b.folder, NULL), FIL_OK);
    scratch_write(&dir, "captures/layer001_step000_pass0.safetensors", "old", 3);
    b.o.replace = 0;
    refused(&b, "all:all", FIL_E_IO, "exists already");
    assert_int_equal(count_files(&b), 1);
    close_bench(&b);
}

/* What stood free when the run was checked is taken by a folder when it begins to sample. */
static void take_name(void *user, const fil_progress *progress)
{
    (void)user;
    if (strcmp(progress->phase, "sample") == 0 && progress->done == 0)
        (void)mkdir(scratch_path(&dir, "captures/layer000_step000_pass0.safetensors"), 0700);
}

static void a_capture_that_cannot_be_written_ends_the_run_and_says_which(void **state)
{
    (void)state;
    bench       b;
    fil_options opt;
    SKIP_WITHOUT_DEMO();
    fil_options_init(&opt);
    opt.progress = take_name;
    open_bench_with(&b, &opt);
    b.o.capture    = "0:0";
    b.o.capture_to = b.folder;
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_IO);
    assert_string_equal(fil_ctx_error(b.ctx)->frame[0], "capturing layer 0, step 0, pass 0");
    assert_int_equal(count_files(&b), 1); /* the folder alone */
    close_bench(&b);
}

/* ---- the trained model ---------------------------------------------------------------------- */

static const char *done_file;

/* The file that was waited for is there. */
static int is_done(void *user)
{
    (void)user;
    FILE *file = fopen(done_file, "rb");
    if (file != NULL) (void)fclose(file);
    return file != NULL;
}

/* |bf16(a) - b| / |b|; a is overwritten. */
static double distance(fil_ctx *ctx, float *a, const uint16_t *b, int64_t n)
{
    double    error = 0.0;
    double    sum   = 0.0;
    uint16_t *half  = malloc((size_t)n * sizeof *half);
    float    *x     = malloc((size_t)n * sizeof *x);
    assert_true(half != NULL && x != NULL);
    assert_int_equal(fili_convert(ctx, FIL_BF16, half, FIL_F32, a, n), FIL_OK);
    assert_int_equal(fili_convert(ctx, FIL_F32, a, FIL_BF16, half, n), FIL_OK);
    assert_int_equal(fili_convert(ctx, FIL_F32, x, FIL_BF16, b, n), FIL_OK);
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)x[i];
        error += d * d;
        sum += (double)x[i] * (double)x[i];
    }
    free(half);
    free(x);
    return sqrt(error / sum);
}

/* Steps 0 to 4 of the run that the fixture was taken from, in f32. Its values were rounded to bf16;
 * two correct f32 runs then differ where one lies on the other side of a rounding: in about one
 * value of 600, by 2^-8. */
static void captures_of_a_trained_model_are_those_of_diffusers(void **state)
{
    (void)state;
    fil_ctx             *ctx   = NULL;
    fil_model           *model = NULL;
    fil_model_options    m;
    fil_generate_options o;
    fil_options          opt;
    if (fixture_path("shapes") == NULL) {
        skip();
        return;
    }
    char where[1024];
    char theirs[1024];
    char ours[320];
    snprintf(where, sizeof where, "%s", fixture_path("shapes"));
    snprintf(theirs, sizeof theirs, "%s", fixture_path("shapes/captures/p0_l1_s4.safetensors"));
    snprintf(ours, sizeof ours, "%s", scratch_path(&dir, "l.layer001_step004_pass0.safetensors"));
    done_file = ours;
    fil_options_init(&opt);
    opt.cancel = is_done;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    fil_model_options_init(&m);
    m.dir = where;
    assert_int_equal(fil_model_open(ctx, &m, &model), FIL_OK);
    fil_generate_options_init(&o);
    o.preset       = FIL_PRESET_DIFFUSERS;
    o.prompt       = "A red circle moves to the left over a black background.";
    o.width        = 256;
    o.height       = 256;
    o.frames       = 33;
    o.steps        = 20;
    o.shift        = 3;
    o.guidance     = 4;
    o.seed         = 3;
    o.precision    = FIL_F32;
    o.save_latents = scratch_path(&dir, "l");
    o.capture      = "1:4";
    assert_int_equal(fil_generate(model, &o, NULL), FIL_E_CANCELLED);
    for (int t = 0; t < 3; t++) {
        const char *name = (const char *[]){"q", "k", "v"}[t];
        int64_t     n;
        int64_t     n_theirs;
        float      *a = fixture_tensor(ctx, ours, name, FIL_F32, &n);
        uint16_t   *b = fixture_tensor(ctx, theirs, name, FIL_BF16, &n_theirs);
        assert_int_equal(n, n_theirs);
        const double off = distance(ctx, a, b, n);
        printf("%s: %.2e\n", name, off);
        assert_true(off <= 2e-4);
        free(a);
        free(b);
    }
    fil_model_close(&model);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_names_layers_steps_and_passes),
        TEST(what_is_no_request_is_refused),
        TEST(numbers_are_written_without_a_locale),
        TEST(a_file_holds_tokens_in_raster_order),
        TEST(a_run_writes_the_calls_that_were_asked_for),
        TEST(metadata_tell_the_run_and_the_call),
        TEST(captures_do_not_depend_on_the_order_of_the_run),
        TEST(capturing_changes_no_bit_of_the_latents),
        TEST(what_the_run_does_not_have_is_refused_before_it_begins),
        TEST(a_capture_that_cannot_be_written_ends_the_run_and_says_which),
        TEST(captures_of_a_trained_model_are_those_of_diffusers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
