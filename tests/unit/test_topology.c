/* tests/unit/test_topology.c: sparse/topology.h: what is written comes back, broken files are
 * refused with a sentence, and so is a topology that belongs to another run.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors_writer.h"
#include "sparse/topology.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

enum { L = 2, S = 5, G = 3, P = 1, H = 2, K = 8 };

typedef struct rig {
    fil_ctx           *ctx;
    scratch            dir;
    fili_topology_info info;
    fili_topology_data data;
    uint8_t           *map;
    float              levels[K], sigmas[S + 1];
    int32_t            group[S];
    float              density[L * S * P * H * K], fidelity[L * S * P * H * K];
    float              error[L * S * P * H * K];
    uint8_t            budget[L * S * P * H];
    fili_topology      read;
} rig;

static void fill(rig *r)
{
    fili_levels_even(r->levels, K);
    for (int32_t i = 0; i < S; i++)
        r->group[i] = i / 2;
    for (int32_t i = 0; i <= S; i++)
        r->sigmas[i] = 1.0f - (float)i / (float)S;
    for (int32_t i = 0; i < L * S * P * H * K; i++) {
        r->density[i]  = (float)(i % K + 1) / (float)K;
        r->fidelity[i] = sqrtf(r->density[i]);
        r->error[i]    = 3.0f * (1.0f - r->density[i]);
    }
    for (int32_t i = 0; i < L * S * P * H; i++)
        r->budget[i] = (uint8_t)(i % K);
}

static int set_up(void **state)
{
    rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(fil_ctx_open(&r->ctx, NULL), FIL_OK);
    scratch_make(&r->dir);
    fill(r);
    r->info = (fili_topology_info){.grid         = {4, 5, 18},
                                   .order        = "hilbert-cubes 4x4x4",
                                   .block        = 128,
                                   .layers       = L,
                                   .steps        = S,
                                   .groups       = G,
                                   .passes       = P,
                                   .heads        = H,
                                   .n_levels     = K,
                                   .map          = "union",
                                   .fidelity     = "renorm",
                                   .model_hash   = "abcdef0123456789",
                                   .prompts_hash = "0123",
                                   .sampler      = "unipc",
                                   .sigma_grid   = "wan-unipc",
                                   .shift        = 5.0};
    fili_order_spec spec;
    fili_order      order;
    fili_blocks     blocks;
    assert_int_equal(fili_order_parse(r->ctx, r->info.order, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&order, r->ctx, r->info.grid, &spec), FIL_OK);
    assert_int_equal(fili_topology_blocks(&blocks, &order, 128), FIL_OK);
    r->info.m      = blocks.m;
    const size_t n = (size_t)L * G * P * H * (size_t)blocks.m * (size_t)blocks.m;
    r->map         = malloc(n);
    assert_non_null(r->map);
    for (size_t i = 0; i < n; i++)
        r->map[i] = (uint8_t)(i * 7 % K);
    fili_blocks_fini(&blocks);
    fili_order_fini(&order);
    r->data = (fili_topology_data){.map        = r->map,
                                   .levels     = r->levels,
                                   .step_group = r->group,
                                   .sigmas     = r->sigmas,
                                   .density    = r->density,
                                   .fidelity   = r->fidelity,
                                   .error      = r->error,
                                   .budget     = r->budget};
    *state  = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    fili_topology_close(&r->read);
    scratch_remove(&r->dir);
    fil_ctx_close(&r->ctx);
    free(r->map);
    free(r);
    return 0;
}

static const char *write_it(rig *r)
{
    const char *path = scratch_path(&r->dir, "t.safetensors");
    assert_int_equal(fili_topology_write(r->ctx, path, &r->info, &r->data, 1), FIL_OK);
    return path;
}

/* And forgets it, as the next public call would. */
static void contains(const rig *r, const char *text)
{
    if (strstr(fil_ctx_error(r->ctx)->message, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, fil_ctx_error(r->ctx)->message);
    fili_ctx_enter(r->ctx);
}

static void refused(rig *r, const char *path, fil_status status, const char *text)
{
    assert_int_equal(fili_topology_open(&r->read, r->ctx, path), status);
    contains(r, text);
}

static void open_it(rig *r)
{
    assert_int_equal(fili_topology_open(&r->read, r->ctx, write_it(r)), FIL_OK);
}

/* ---- there and back ------------------------------------------------------------------------- */

static void what_is_written_comes_back(void **state)
{
    rig *r = *state;
    open_it(r);
    const fili_topology *t     = &r->read;
    const size_t         bytes = (size_t)fili_topology_map_bytes(&t->info);
    uint8_t             *map   = malloc(bytes);
    float                values[L * S * P * H * K];
    uint8_t              budget[L * S * P * H];
    assert_non_null(map);
    assert_int_equal(t->info.m, r->info.m);
    assert_int_equal(t->info.groups, G);
    assert_int_equal(t->info.block, 128);
    assert_string_equal(t->info.order, r->info.order);
    assert_string_equal(t->info.sigma_grid, "wan-unipc");
    assert_true(t->info.shift == 5.0);
    assert_memory_equal(t->levels, r->levels, sizeof r->levels);
    assert_memory_equal(t->step_group, r->group, sizeof r->group);
    assert_memory_equal(t->sigmas, r->sigmas, sizeof r->sigmas);
    for (int32_t l = 0; l < L; l++)
        for (int32_t g = 0; g < G; g++) {
            assert_int_equal(fili_topology_read_map(t, l, g, 0, map), FIL_OK);
            assert_memory_equal(map, r->map + ((size_t)l * G + (size_t)g) * bytes, bytes);
        }
    assert_int_equal(fili_topology_read_map(t, L, 0, 0, map), FIL_E_ARG);
    assert_int_equal(fili_topology_read_map(t, 0, G, 0, map), FIL_E_ARG);
    assert_int_equal(fili_topology_read_map(t, 0, 0, 1, map), FIL_E_ARG);
    assert_int_equal(fili_topology_read_profile(t, t->density, values), FIL_OK);
    assert_memory_equal(values, r->density, sizeof values);
    assert_int_equal(fili_topology_read_profile(t, t->error, values), FIL_OK);
    assert_memory_equal(values, r->error, sizeof values);
    assert_int_equal(fili_topology_read_budget(t, budget), FIL_OK);
    assert_memory_equal(budget, r->budget, sizeof budget);
    free(map);
}

static void a_profile_of_errors_may_be_missing(void **state)
{
    rig *r        = *state;
    r->data.error = NULL;
    open_it(r);
    assert_null(r->read.error);
}

static void the_size_of_the_file_is_known_before(void **state)
{
    rig   *r = *state;
    size_t bytes;
    (void)write_it(r);
    free(scratch_read(&r->dir, "t.safetensors", &bytes));
    assert_true(bytes >= fili_topology_file_bytes(&r->info));
    assert_true(bytes <= fili_topology_file_bytes(&r->info) + 4096);
}

/* ---- broken files --------------------------------------------------------------------------- */

static void every_cut_of_the_file_is_refused(void **state)
{
    rig   *r = *state;
    size_t bytes;
    (void)write_it(r);
    unsigned char *all = scratch_read(&r->dir, "t.safetensors", &bytes);
    for (size_t n = 0; n < bytes; n += 1 + bytes / 97) {
        scratch_write(&r->dir, "cut.safetensors", all, n);
        assert_int_not_equal(
            fili_topology_open(&r->read, r->ctx, scratch_path(&r->dir, "cut.safetensors")), FIL_OK);
    }
    free(all);
}

/* Replaces the first `from` in the file by `to`, of the same length. */
static const char *with(rig *r, const char *from, const char *to)
{
    size_t bytes;
    (void)write_it(r);
    unsigned char *all = scratch_read(&r->dir, "t.safetensors", &bytes);
    const size_t   n   = strlen(from);
    size_t         at  = 0;
    assert_int_equal(n, strlen(to));
    while (at + n <= bytes && memcmp(all + at, from, n) != 0)
        at++;
    assert_true(at + n <= bytes);
    memcpy(all + at, to, n);
    scratch_write(&r->dir, "w.safetensors", all, bytes);
    free(all);
    return scratch_path(&r->dir, "w.safetensors");
}

static void texts_that_do_not_fit_are_refused_by_name(void **state)
{
    rig *r = *state;
    refused(r, with(r, "filigree.topology.1", "filigree.topology.2"), FIL_E_MISMATCH,
            "another version");
    refused(r, with(r, "filigree.topology.1", "filigree.t0pology.1"), FIL_E_FORMAT, "the format");
    refused(r, with(r, "\"4,5,18\"", "\"4,5,x8\""), FIL_E_FORMAT, "grid");
    refused(r, with(r, "\"4,5,18\"", "\"9,9,98\""), FIL_E_MISMATCH, "tmap.000");
    refused(r, with(r, "hilbert-cubes 4x4x4", "hilbert-cubes 4x4y4"), FIL_E_FORMAT, "order");
    refused(r, with(r, "\"128\"", "\"129\""), FIL_E_FORMAT, "block_size");
    refused(r, with(r, "\"128\"", "\"100\""), FIL_E_FORMAT, "block");
    refused(r, with(r, "\"union\"", "\"onion\""), FIL_E_FORMAT, "'map'");
    refused(r, with(r, "\"renorm\"", "\"reform\""), FIL_E_FORMAT, "'fidelity'");
    refused(r, with(r, "model_hash", "model_hush"), FIL_E_FORMAT, "model_hash");
    refused(r, with(r, "\"steps\":\"5\"", "\"steps\":\"6\""), FIL_E_FORMAT, "sigmas");
    refused(r, with(r, "0.800000012", "0.800000x12"), FIL_E_FORMAT, "sigmas");
    refused(r, with(r, "tmap.001", "tmap.002"), FIL_E_FORMAT, "tmap.001");
    refused(r, with(r, "profile.density", "profile.dansity"), FIL_E_FORMAT, "profile.density");
}

static void numbers_that_do_not_fit_are_refused_by_name(void **state)
{
    rig *r      = *state;
    r->group[3] = G;
    refused(r, write_it(r), FIL_E_FORMAT, "step 3 is of group 3");
    r->group[3] = -1;
    refused(r, write_it(r), FIL_E_FORMAT, "step 3 is of group -1");
    r->group[3]      = 1;
    r->levels[K - 1] = 0.5f;
    assert_int_equal(
        fili_topology_write(r->ctx, scratch_path(&r->dir, "x.safetensors"), &r->info, &r->data, 1),
        FIL_E_ARG);
}

static void values_are_checked_when_they_are_read(void **state)
{
    rig     *r = *state;
    float    values[L * S * P * H * K];
    uint8_t  budget[L * S * P * H];
    uint8_t *map = malloc((size_t)fili_topology_map_bytes(&r->info));
    assert_non_null(map);
    r->fidelity[7] = NAN;
    r->density[3]  = 1.5f;
    r->error[2]    = INFINITY;
    r->budget[1]   = K;
    r->map[5]      = 255;
    open_it(r);
    const fili_topology *t = &r->read;
    assert_int_equal(fili_topology_read_profile(t, t->fidelity, values), FIL_E_FORMAT);
    contains(r, "profile.fidelity");
    assert_int_equal(fili_topology_read_profile(t, t->density, values), FIL_E_FORMAT);
    assert_int_equal(fili_topology_read_profile(t, t->error, values), FIL_E_FORMAT);
    fili_ctx_enter(r->ctx);
    assert_int_equal(fili_topology_read_budget(t, budget), FIL_E_FORMAT);
    contains(r, "level 8");
    assert_int_equal(fili_topology_read_map(t, 0, 0, 0, map), FIL_E_FORMAT);
    assert_int_equal(fili_topology_read_map(t, 1, 0, 0, map), FIL_OK);
    free(map);
}

/* ---- another run ---------------------------------------------------------------------------- */

static void another_run_is_refused_by_what_differs(void **state)
{
    rig *r = *state;
    open_it(r);
    float sigmas[S + 1];
    memcpy(sigmas, r->sigmas, sizeof sigmas);
    sigmas[2] += 0.01f;
    const fili_topology_run good = {.layers     = L,
                                    .steps      = S,
                                    .passes     = 2, /* united: for any number */
                                    .heads      = H,
                                    .model_hash = "abcdef0123456789",
                                    .sampler    = "unipc",
                                    .shift      = 5.0,
                                    .sigmas     = r->sigmas};
    assert_int_equal(fili_topology_fits(&r->read, &good), FIL_OK);
    assert_int_equal(fili_topology_fits(&r->read, &(fili_topology_run){.layers = 0}), FIL_OK);
#define DIFFERS(field, value, text)                                                                \
    do {                                                                                           \
        fili_topology_run run = good;                                                              \
        run.field             = (value);                                                           \
        assert_int_equal(fili_topology_fits(&r->read, &run), FIL_E_MISMATCH);                      \
        contains(r, text);                                                                         \
    } while (0)
    DIFFERS(layers, 3, "2 layers; this run has 3");
    DIFFERS(heads, 12, "2 heads");
    DIFFERS(steps, 50, "5 steps; this run has 50");
    DIFFERS(model_hash, "ffff", "another model");
    DIFFERS(sampler, "euler", "sampler unipc; this run has euler");
    DIFFERS(shift, 3.0, "shift 5; this run has 3");
    DIFFERS(sigmas, sigmas, "another grid of sigmas");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_comes_back),
        TEST(a_profile_of_errors_may_be_missing),
        TEST(the_size_of_the_file_is_known_before),
        TEST(every_cut_of_the_file_is_refused),
        TEST(texts_that_do_not_fit_are_refused_by_name),
        TEST(numbers_that_do_not_fit_are_refused_by_name),
        TEST(values_are_checked_when_they_are_read),
        TEST(another_run_is_refused_by_what_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
