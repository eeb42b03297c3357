/* tests/unit/test_umt5.c: wan/umt5.h against the fixtures, and against its definition in f64. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/json.h"
#include "nn/biased.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "wan/umt5.h"

static fil_ctx *open_ctx(int32_t n_threads)
{
    fil_options opt;
    fil_ctx    *ctx;
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return ctx;
}

static void close_ctx(fil_ctx *ctx)
{
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
}

/* `!(<=)`, so that NaN fails. */
static void near(const char *what, const float *got, const float *want, int64_t n, double rel,
                 double abs)
{
    double error = 0.0;
    double size  = 0.0;
    double most  = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double e = (double)got[i] - (double)want[i];
        error += e * e;
        size += (double)want[i] * (double)want[i];
        if (!(fabs(e) <= most)) most = fabs(e);
    }
    if (!(sqrt(error / size) <= rel) || !(most <= abs))
        fail_msg("%s: rel_l2 %.3g (tolerance %.3g), max_abs %.3g (%.3g)", what, sqrt(error / size),
                 rel, most, abs);
}

/* ---- fixtures ------------------------------------------------------------------------------- */

typedef struct tolerance {
    fil_dtype precision;
    double    rel, abs;
} tolerance;

/* f32: the fixtures' README. bf16: its line for bf16 products; values have a standard deviation
 * near 1, as there. */
static const tolerance in_f32  = {FIL_F32, 5e-6, 3e-5};
static const tolerance in_bf16 = {FIL_BF16, 1.5e-2, 8e-2};

static void check_prompt(fil_ctx *ctx, fili_umt5 *u, const json_t *prompt, const tolerance *t)
{
    const char   *name = json_string_value(json_object_get(prompt, "name"));
    const json_t *list = json_object_get(prompt, "ids");
    const int32_t n    = (int32_t)json_array_size(list);
    int32_t       ids[FILI_UMT5_MAX_ROWS];
    int64_t       count;
    float        *want =
        fixture_tensor(ctx, fixture_path("umt5/encodings.safetensors"), name, FIL_F32, &count);
    float *rows = malloc((size_t)count * sizeof *rows);
    assert_non_null(rows);
    assert_in_range(n, 1, FILI_UMT5_MAX_ROWS);
    assert_int_equal(count, (int64_t)n * fili_umt5_dim(u));
    for (int32_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    assert_int_equal(fili_umt5_encode(u, ids, n, rows), FIL_OK);
    near(name, rows, want, count, t->rel, t->abs);
    free(rows);
    free(want);
}

static void check_layout(const char *place, uint32_t flags, const tolerance *t)
{
    const char *path = fixture_path(place);
    if (path == NULL) {
        print_message("FIL_FIXTURES is not set\n");
        skip();
    }
    fil_ctx      *ctx = open_ctx(2);
    fili_weights *w;
    fili_umt5    *u;
    fili_json     json;
    assert_int_equal(fili_weights_open(ctx, FILI_PART_T5, path, flags, &w), FIL_OK);
    assert_int_equal(fili_umt5_open(ctx, w, t->precision, &u), FIL_OK);
    assert_int_equal(fili_json_read(ctx, FILI_CWD, fixture_path("umt5/prompts.json"), 0, 1 << 20,
                                    FILI_JSON_REALS, &json),
                     FIL_OK);
    assert_true(json_array_size(json.root) >= 23);
    for (size_t i = 0; i < json_array_size(json.root); i++)
        check_prompt(ctx, u, json_array_get(json.root, i), t);
    fili_json_fini(ctx, &json);
    fili_umt5_close(&u);
    fili_weights_close(&w);
    close_ctx(ctx);
}

#define ORIGINAL "pipeline/original/models_t5_umt5-xxl-enc-bf16.pth"

static void diffusers_weights_give_the_reference_in_f32(void **state)
{
    (void)state;
    check_layout("pipeline/text_encoder", 0, &in_f32);
}

static void diffusers_weights_give_the_reference_in_f32_where_they_lie(void **state)
{
    (void)state;
    check_layout("pipeline/text_encoder", FIL_OPEN_TRUSTED, &in_f32);
}

static void original_weights_give_the_reference_in_f32(void **state)
{
    (void)state;
    check_layout(ORIGINAL, 0, &in_f32);
}

static void original_weights_give_the_reference_in_f32_where_they_lie(void **state)
{
    (void)state;
    check_layout(ORIGINAL, FIL_OPEN_TRUSTED, &in_f32);
}

static void bf16_products_stay_within_their_tolerance(void **state)
{
    (void)state;
    check_layout("pipeline/text_encoder", 0, &in_bf16);
}

static void bf16_weights_used_where_they_lie_stay_within_it_too(void **state)
{
    (void)state;
    check_layout(ORIGINAL, FIL_OPEN_TRUSTED, &in_bf16);
}

/* ---- a model in memory ---------------------------------------------------------------------- */

enum {
    DIM     = 24,
    HEADS   = 3,
    HEAD    = 8, /* inner 24 */
    FFN     = 40,
    LAYERS  = 2,
    VOCAB   = 50,
    BUCKETS = 32,
    TENSORS = LAYERS * 10 + 2,
    ROWS    = 21
};

typedef struct tiny {
    fili_made_tensor t[TENSORS];
    char             names[TENSORS][64];
    size_t           n;
} tiny;

static const float *add(tiny *m, const char *name, int64_t rows, int64_t cols, float mean,
                        float scale)
{
    const int64_t     n    = rows * (cols > 0 ? cols : 1);
    float            *data = malloc((size_t)n * sizeof *data);
    fili_made_tensor *t    = &m->t[m->n];
    assert_non_null(data);
    fili_philox_normal(5, m->n, 0, data, n);
    for (int64_t i = 0; i < n; i++)
        data[i] = mean + scale * data[i];
    snprintf(m->names[m->n], sizeof m->names[0], "%s", name);
    *t = (fili_made_tensor){.name  = m->names[m->n],
                            .dtype = FIL_F32,
                            .rank  = cols > 0 ? 2 : 1,
                            .shape = {rows, cols},
                            .data  = data};
    m->n++;
    return data;
}

static const struct {
    const char *name;
    int64_t     rows, cols;
} kinds[] = {{"norm1", DIM, 0},
             {"attn.q", HEADS *HEAD, DIM},
             {"attn.k", HEADS *HEAD, DIM},
             {"attn.v", HEADS *HEAD, DIM},
             {"attn.o", DIM, HEADS *HEAD},
             {"pos_embedding.embedding", BUCKETS, HEADS},
             {"norm2", DIM, 0},
             {"ffn.gate.0", FFN, DIM},
             {"ffn.fc1", FFN, DIM},
             {"ffn.fc2", DIM, FFN}};

static void make_tiny(tiny *m)
{
    m->n = 0;
    add(m, "token_embedding.weight", VOCAB, DIM, 0.0f, 1.0f);
    for (int layer = 0; layer < LAYERS; layer++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            char name[64];
            snprintf(name, sizeof name, "blocks.%d.%s.weight", layer, kinds[k].name);
            const float fan = kinds[k].cols > 0 ? 1.0f / sqrtf((float)kinds[k].cols) : 0.1f;
            add(m, name, kinds[k].rows, kinds[k].cols, kinds[k].cols > 0 ? 0.0f : 1.0f,
                kinds[k].rows == BUCKETS ? 0.7f : fan);
        }
    add(m, "norm.weight", DIM, 0, 1.0f, 0.1f);
    assert_int_equal(m->n, TENSORS);
}

static void drop_tiny(tiny *m)
{
    for (size_t i = 0; i < m->n; i++)
        free((void *)(uintptr_t)m->t[i].data);
}

/* ---- its definition, in f64 ----------------------------------------------------------------- */

static void rms(const double *x, const float *weight, double *out)
{
    double sum = 0.0;
    for (int i = 0; i < DIM; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < DIM; i++)
        out[i] = x[i] / sqrt(sum / DIM + 1e-6) * (double)weight[i];
}

static void product(const double *x, const float *w, int rows, int cols, double *out)
{
    for (int i = 0; i < rows; i++) {
        out[i] = 0.0;
        for (int j = 0; j < cols; j++)
            out[i] += (double)w[i * cols + j] * x[j];
    }
}

static double gelu(double x)
{
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

typedef double matrix[ROWS][FFN];

static void attend(matrix q, matrix k, matrix v, const float *bias, matrix out)
{
    for (int h = 0; h < HEADS; h++)
        for (int i = 0; i < ROWS; i++) {
            double p[ROWS];
            double sum = 0.0;
            for (int j = 0; j < ROWS; j++) {
                p[j] = (double)bias[fili_biased_bucket(j - i, BUCKETS) * HEADS + h];
                for (int c = h * HEAD; c < (h + 1) * HEAD; c++)
                    p[j] += q[i][c] * k[j][c];
                p[j] = exp(p[j]);
                sum += p[j];
            }
            for (int c = h * HEAD; c < (h + 1) * HEAD; c++) {
                out[i][c] = 0.0;
                for (int j = 0; j < ROWS; j++)
                    out[i][c] += p[j] / sum * v[j][c];
            }
        }
}

static void layer_by_definition(const fili_made_tensor *t, matrix x)
{
    static matrix y, q, k, v, a;
    double        gate[FFN];
    double        up[FFN];
    double        back[DIM];
    for (int i = 0; i < ROWS; i++) {
        rms(x[i], t[0].data, y[i]);
        product(y[i], t[1].data, HEADS * HEAD, DIM, q[i]);
        product(y[i], t[2].data, HEADS * HEAD, DIM, k[i]);
        product(y[i], t[3].data, HEADS * HEAD, DIM, v[i]);
    }
    attend(q, k, v, t[5].data, a);
    for (int i = 0; i < ROWS; i++) {
        product(a[i], t[4].data, DIM, HEADS * HEAD, back);
        for (int c = 0; c < DIM; c++)
            x[i][c] += back[c];
        rms(x[i], t[6].data, y[i]);
        product(y[i], t[7].data, FFN, DIM, gate);
        product(y[i], t[8].data, FFN, DIM, up);
        for (int c = 0; c < FFN; c++)
            up[c] *= gelu(gate[c]);
        product(up, t[9].data, DIM, FFN, back);
        for (int c = 0; c < DIM; c++)
            x[i][c] += back[c];
    }
}

static void by_definition(const tiny *m, const int32_t *ids, float *rows)
{
    static matrix x;
    const float  *embedding = m->t[0].data;
    for (int i = 0; i < ROWS; i++)
        for (int c = 0; c < DIM; c++)
            x[i][c] = (double)embedding[ids[i] * DIM + c];
    for (int layer = 0; layer < LAYERS; layer++)
        layer_by_definition(&m->t[1 + 10 * layer], x);
    for (int i = 0; i < ROWS; i++) {
        double out[DIM];
        rms(x[i], m->t[TENSORS - 1].data, out);
        for (int c = 0; c < DIM; c++)
            rows[i * DIM + c] = (float)out[c];
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void fill_ids(int32_t ids[ROWS])
{
    for (int32_t i = 0; i < ROWS; i++)
        ids[i] = (i * 17 + 3) % VOCAB;
}

static fil_status encode(fil_ctx *ctx, const tiny *m, fil_dtype precision, float *rows)
{
    int32_t       ids[ROWS];
    fili_weights *w;
    fili_umt5    *u      = NULL;
    fil_status    status = fili_weights_make(ctx, FILI_PART_T5, m->t, m->n, NULL, &w);
    fill_ids(ids);
    if (status == FIL_OK) status = fili_umt5_open(ctx, w, precision, &u);
    if (status == FIL_OK) status = fili_umt5_encode(u, ids, ROWS, rows);
    fili_umt5_close(&u);
    fili_weights_close(&w);
    return status;
}

static void it_computes_what_its_definition_says(void **state)
{
    tiny     m;
    int32_t  ids[ROWS];
    float    want[ROWS * DIM];
    float    got[ROWS * DIM];
    fil_ctx *ctx = open_ctx(1);
    (void)state;
    make_tiny(&m);
    fill_ids(ids);
    by_definition(&m, ids, want);
    assert_int_equal(encode(ctx, &m, FIL_F32, got), FIL_OK);
    near("f32", got, want, ROWS * DIM, 5e-6, 3e-5);
    assert_int_equal(encode(ctx, &m, FIL_BF16, got), FIL_OK);
    near("bf16", got, want, ROWS * DIM, 1.5e-2, 8e-2);
    drop_tiny(&m);
    close_ctx(ctx);
}

static void the_bits_are_the_same_for_any_number_of_threads(void **state)
{
    tiny  m;
    float one[ROWS * DIM];
    float got[ROWS * DIM];
    (void)state;
    make_tiny(&m);
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int32_t n = 1; n <= 4; n++) {
            fil_ctx *ctx = open_ctx(n);
            assert_int_equal(encode(ctx, &m, bf16 ? FIL_BF16 : FIL_F32, n == 1 ? one : got),
                             FIL_OK);
            if (n > 1) assert_memory_equal(one, got, sizeof one);
            close_ctx(ctx);
        }
    drop_tiny(&m);
}

static void rows_behind_the_prompt_do_not_exist(void **state)
{
    tiny          m;
    int32_t       ids[1] = {7};
    float         rows[DIM + 1];
    fili_weights *w;
    fili_umt5    *u;
    fil_ctx      *ctx = open_ctx(2);
    (void)state;
    make_tiny(&m);
    rows[DIM] = 42.0f;
    assert_int_equal(fili_weights_make(ctx, FILI_PART_T5, m.t, m.n, NULL, &w), FIL_OK);
    assert_int_equal(fili_umt5_open(ctx, w, FIL_F32, &u), FIL_OK);
    assert_int_equal(fili_umt5_dim(u), DIM);
    assert_int_equal(fili_umt5_config_of(u)->layers, LAYERS);
    assert_true(fili_umt5_bytes(u, 1) > 0);
    assert_int_equal(fili_umt5_encode(u, ids, 1, rows), FIL_OK);
    assert_true(rows[DIM] == 42.0f);
    fili_umt5_close(&u);
    fili_umt5_close(&u);
    fili_weights_close(&w);
    drop_tiny(&m);
    close_ctx(ctx);
}

static void ids_outside_the_vocabulary_are_refused(void **state)
{
    tiny          m;
    float         rows[DIM];
    fili_weights *w;
    fili_umt5    *u;
    fil_ctx      *ctx = open_ctx(1);
    (void)state;
    make_tiny(&m);
    assert_int_equal(fili_weights_make(ctx, FILI_PART_T5, m.t, m.n, NULL, &w), FIL_OK);
    assert_int_equal(fili_umt5_open(ctx, w, FIL_F32, &u), FIL_OK);
    assert_int_equal(fili_umt5_encode(u, &(int32_t){VOCAB}, 1, rows), FIL_E_ARG);
    assert_int_equal(fili_umt5_encode(u, &(int32_t){-1}, 1, rows), FIL_E_ARG);
    assert_int_equal(fili_umt5_encode(u, &(int32_t){0}, 0, rows), FIL_E_ARG);
    assert_int_equal(fili_umt5_encode(u, &(int32_t){0}, FILI_UMT5_MAX_ROWS + 1, rows), FIL_E_ARG);
    fili_umt5_close(&u);
    fili_weights_close(&w);
    drop_tiny(&m);
    close_ctx(ctx);
}

static void open_refused(const tiny *m, const char *part)
{
    fil_ctx      *ctx = open_ctx(1);
    fili_weights *w;
    fili_umt5    *u;
    assert_int_equal(fili_weights_make(ctx, FILI_PART_T5, m->t, m->n, NULL, &w), FIL_OK);
    assert_int_equal(fili_umt5_open(ctx, w, FIL_F32, &u), FIL_E_MISMATCH);
    assert_null(u);
    if (strstr(fil_ctx_error(ctx)->message, part) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(ctx)->message, part);
    fili_weights_close(&w);
    close_ctx(ctx);
}

static void any_missing_tensor_is_named(void **state)
{
    tiny m;
    (void)state;
    make_tiny(&m);
    m.n--;
    for (size_t i = 0; i < TENSORS; i++) {
        /* The last one takes the place of the one that is missing. norm1 and its like tell how many
         * layers there are: without it the layer's other tensors are left over. */
        const fili_made_tensor kept = m.t[i];
        m.t[i]                      = m.t[TENSORS - 1];
        const char *name            = kept.name;
        if (strcmp(name, "blocks.1.norm1.weight") == 0) name = "blocks.1.";
        if (i < TENSORS - 1 || m.n == TENSORS - 1) open_refused(&m, name);
        m.t[i] = kept;
    }
    m.n++;
    drop_tiny(&m);
}

static void a_wrong_shape_and_a_stranger_are_named(void **state)
{
    tiny m;
    (void)state;
    make_tiny(&m);
    for (size_t i = 1; i < TENSORS; i++) {
        const int64_t kept = m.t[i].shape[0];
        if (strcmp(m.t[i].name, "blocks.0.attn.q.weight") == 0) continue; /* says the sizes */
        if (strcmp(m.t[i].name, "blocks.0.pos_embedding.embedding.weight") == 0) continue;
        if (strcmp(m.t[i].name, "blocks.0.ffn.gate.0.weight") == 0) continue;
        m.t[i].shape[0] = kept / 2;
        open_refused(&m, m.t[i].name);
        m.t[i].shape[0] = kept;
    }
    const char *kept = m.t[5].name;
    m.t[5].name      = "decoder.weight";
    open_refused(&m, kept);
    m.t[5].name = kept;
    drop_tiny(&m);
}

static int stop_at_once(void *user)
{
    (void)user;
    return 1;
}

static void it_can_be_cancelled(void **state)
{
    tiny        m;
    float       rows[ROWS * DIM];
    fil_options opt;
    fil_ctx    *ctx;
    (void)state;
    make_tiny(&m);
    fil_options_init(&opt);
    opt.cancel = stop_at_once;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(encode(ctx, &m, FIL_F32, rows), FIL_E_CANCELLED);
    drop_tiny(&m);
    close_ctx(ctx);
}

static void every_allocation_may_fail(void **state)
{
    tiny  m;
    float rows[ROWS * DIM];
    (void)state;
    make_tiny(&m);
    for (int64_t at = 0;; at++) {
        alloc_fault fault = {.at = at};
        fil_options opt;
        fil_ctx    *ctx;
        fil_options_init(&opt);
        opt.n_threads           = 2;
        opt.host                = alloc_fault_allocator(&fault);
        const fil_status opened = fil_ctx_open(&ctx, &opt);
        const fil_status status = opened == FIL_OK ? encode(ctx, &m, FIL_BF16, rows) : opened;
        fil_ctx_close(&ctx);
        assert_int_equal(fault.live, 0);
        if (fault.failed == 0) {
            assert_int_equal(status, FIL_OK);
            break;
        }
        assert_int_equal(status, FIL_E_NOMEM);
    }
    drop_tiny(&m);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void name_is(const char *theirs, int answer, const char *ours)
{
    char out[64] = "untouched";
    assert_int_equal(fili_names_t5(theirs, out, sizeof out), answer);
    assert_string_equal(out, answer == 1 ? ours : "untouched");
}

static void names_of_hugging_face_become_the_original_ones(void **state)
{
    (void)state;
    name_is("shared.weight", 1, "token_embedding.weight");
    name_is("encoder.final_layer_norm.weight", 1, "norm.weight");
    name_is("encoder.block.0.layer.0.SelfAttention.q.weight", 1, "blocks.0.attn.q.weight");
    name_is("encoder.block.23.layer.0.SelfAttention.relative_attention_bias.weight", 1,
            "blocks.23.pos_embedding.embedding.weight");
    name_is("encoder.block.7.layer.1.DenseReluDense.wi_0.weight", 1, "blocks.7.ffn.gate.0.weight");
    name_is("encoder.block.7.layer.1.DenseReluDense.wi_1.weight", 1, "blocks.7.ffn.fc1.weight");
    name_is("encoder.block.7.layer.1.DenseReluDense.wo.weight", 1, "blocks.7.ffn.fc2.weight");
    name_is("blocks.7.ffn.fc2.weight", 1, "blocks.7.ffn.fc2.weight");
    name_is("norm.weight", 1, "norm.weight");
}

static void names_of_llama_become_the_original_ones(void **state)
{
    (void)state;
    name_is("token_embd.weight", 1, "token_embedding.weight");
    name_is("enc.output_norm.weight", 1, "norm.weight");
    name_is("enc.blk.0.attn_q.weight", 1, "blocks.0.attn.q.weight");
    name_is("enc.blk.1.attn_k.weight", 1, "blocks.1.attn.k.weight");
    name_is("enc.blk.2.attn_v.weight", 1, "blocks.2.attn.v.weight");
    name_is("enc.blk.3.attn_o.weight", 1, "blocks.3.attn.o.weight");
    name_is("enc.blk.23.attn_rel_b.weight", 1, "blocks.23.pos_embedding.embedding.weight");
    name_is("enc.blk.7.attn_norm.weight", 1, "blocks.7.norm1.weight");
    name_is("enc.blk.7.ffn_norm.weight", 1, "blocks.7.norm2.weight");
    name_is("enc.blk.7.ffn_gate.weight", 1, "blocks.7.ffn.gate.0.weight");
    name_is("enc.blk.7.ffn_up.weight", 1, "blocks.7.ffn.fc1.weight");
    name_is("enc.blk.7.ffn_down.weight", 1, "blocks.7.ffn.fc2.weight");
}

static void names_of_nobody_are_refused(void **state)
{
    (void)state;
    name_is("spiece_model", 2, "");
    name_is("blocks.7.ffn.fc3.weight", 0, "");
    name_is("blocks..norm1.weight", 0, "");
    name_is("blocks.01.norm1.weight", 0, "");
    name_is("blocks.12345.norm1.weight", 0, "");
    name_is("encoder.block.7.layer.2.layer_norm.weight", 0, "");
    name_is("encoder.block.x.layer.0.layer_norm.weight", 0, "");
    name_is("decoder.block.0.layer.0.layer_norm.weight", 0, "");
    name_is("enc.blk.7.attn_output.weight", 0, "");
    name_is("enc.blk.07.attn_q.weight", 0, "");
    name_is("dec.blk.7.attn_q.weight", 0, "");
    name_is("", 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diffusers_weights_give_the_reference_in_f32),
        cmocka_unit_test(diffusers_weights_give_the_reference_in_f32_where_they_lie),
        cmocka_unit_test(original_weights_give_the_reference_in_f32),
        cmocka_unit_test(original_weights_give_the_reference_in_f32_where_they_lie),
        cmocka_unit_test(bf16_products_stay_within_their_tolerance),
        cmocka_unit_test(bf16_weights_used_where_they_lie_stay_within_it_too),
        cmocka_unit_test(it_computes_what_its_definition_says),
        cmocka_unit_test(the_bits_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(rows_behind_the_prompt_do_not_exist),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(any_missing_tensor_is_named),
        cmocka_unit_test(a_wrong_shape_and_a_stranger_are_named),
        cmocka_unit_test(it_can_be_cancelled),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(names_of_hugging_face_become_the_original_ones),
        cmocka_unit_test(names_of_llama_become_the_original_ones),
        cmocka_unit_test(names_of_nobody_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
