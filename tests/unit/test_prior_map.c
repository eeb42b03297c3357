/* tests/unit/test_prior_map.c: sparse/prior_map.h: the masses that a calibrated table stands for,
 * on its own grid and on another, and auto with such a table.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/policy.h"
#include "sparse/prior_map.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

enum { L = 1, S = 2, H = 2, K = 4, M = 4 };

static const uint8_t row_levels[M] = {1, 1, 3, 2}; /* all blocks of 64 tokens */

typedef struct rig {
    fil_ctx       *ctx;
    scratch        dir;
    fili_arena     arena;
    fili_order     order;
    fili_blocks    blocks;
    fili_prior_map prior;
    const char    *path;
} rig;

/* A table of 4,8,8 tokens: 4 cubes. */
static void write_table(rig *r, int32_t block)
{
    static const float   sigmas[S + 1]           = {1.0f, 0.5f, 0.0f};
    static const int32_t group[S]                = {0, 0};
    static float         density[L * S * H * K]  = {0};
    static float         fidelity[L * S * H * K] = {0};
    static const uint8_t budget[L * S * H]       = {0};
    uint8_t              map[H * M * M];
    float                levels[K];
    const int32_t        m    = block == 64 ? M : M / 2;
    fili_topology_info   info = {.grid         = {4, 8, 8},
                                 .order        = "hilbert-cubes 4x4x4",
                                 .block        = block,
                                 .layers       = L,
                                 .steps        = S,
                                 .groups       = 1,
                                 .passes       = 1,
                                 .heads        = H,
                                 .n_levels     = K,
                                 .m            = m,
                                 .map          = "mean",
                                 .fidelity     = "renorm",
                                 .model_hash   = "ab",
                                 .prompts_hash = "01",
                                 .sampler      = "unipc",
                                 .sigma_grid   = "wan-unipc",
                                 .shift        = 5.0};
    fili_levels_even(levels, K);
    for (int32_t i = 0; i < H * m * m; i++)
        map[i] = row_levels[i % m];
    const fili_topology_data data = {.map        = map,
                                     .levels     = levels,
                                     .step_group = group,
                                     .sigmas     = sigmas,
                                     .density    = density,
                                     .fidelity   = fidelity,
                                     .budget     = budget};
    r->path                       = scratch_path(&r->dir, "t.safetensors");
    if (fili_topology_write(r->ctx, r->path, &info, &data, 1) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
}

static void open_order(rig *r, fili_grid grid)
{
    const fili_order_spec spec = {.kind = FILI_ORDER_HILBERT_CUBES, .cube = {4, 4, 4}};
    assert_int_equal(fili_order_init(&r->order, r->ctx, grid, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&r->blocks, &r->order), FIL_OK);
}

static int set_up(void **state)
{
    rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(fil_ctx_open(&r->ctx, NULL), FIL_OK);
    scratch_make(&r->dir);
    fili_arena_init(&r->arena, r->ctx, "test", 0);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    fili_prior_map_close(&r->prior);
    fili_blocks_fini(&r->blocks);
    fili_order_fini(&r->order);
    fili_arena_fini(&r->arena);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
    scratch_remove(&r->dir);
    free(r);
    return 0;
}

static void read_map(rig *r, fili_grid grid)
{
    const fili_topology_run run = {.layers = L, .heads = H};
    open_order(r, grid);
    if (fili_prior_map_open(&r->prior, r->ctx, r->path, &run) != FIL_OK ||
        fili_prior_map_plan(&r->prior, &r->arena, &r->order, &r->blocks) != FIL_OK ||
        fili_prior_map_read(&r->prior, 0, 1, 1) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
}

static void blocks_of_a_level_share_its_mass(void **state)
{
    static const float want[M] = {0.25f, 0.25f, 0.25f, 0.25f}; /* 1/2 of two, then 1/4, 1/4 */
    rig               *r       = *state;
    write_table(r, 64);
    read_map(r, (fili_grid){4, 8, 8});
    assert_int_equal(r->prior.maps.transferred, 0);
    for (int32_t i = 0; i < H * M * M; i++)
        assert_true(fabsf(r->prior.mass[i] - want[i % M]) < 1e-6f);
}

static void rows_of_another_grid_sum_to_one_too(void **state)
{
    rig *r = *state;
    write_table(r, 64);
    read_map(r, (fili_grid){5, 7, 10});
    assert_int_equal(r->prior.maps.transferred, 1);
    const int32_t m = r->blocks.m;
    for (int32_t row = 0; row < H * m; row++) {
        float sum = 0.0f;
        for (int32_t v = 0; v < m; v++) {
            assert_true(r->prior.mass[row * m + v] >= 0.0f);
            sum += r->prior.mass[row * m + v];
        }
        assert_true(fabsf(sum - 1.0f) < 1e-5f);
    }
}

static void maps_of_other_heads_are_refused(void **state)
{
    rig              *r   = *state;
    fili_topology_run run = {.layers = L, .heads = H};
    write_table(r, 64);
    run.heads = H + 1;
    assert_int_equal(fili_prior_map_open(&r->prior, r->ctx, r->path, &run), FIL_E_MISMATCH);
}

/* ---- auto ----------------------------------------------------------------------------------- */

static float *field(int which)
{
    const int64_t n = (int64_t)4 * 8 * 8 * H * 64;
    float        *x = malloc((size_t)n * sizeof *x);
    assert_non_null(x);
    fili_philox_normal(31, (uint64_t)which, 0, x, n);
    return x;
}

static void auto_takes_a_table_and_keeps_to_its_density(void **state)
{
    rig               *r = *state;
    fili_policy       *p = NULL;
    fil_policy_options o;
    fili_policy_choice choice;
    float             *x[3]  = {field(0), field(1), field(2)};
    fili_policy_setup  setup = {.grid     = {4, 8, 8},
                                .layers   = L,
                                .steps    = S,
                                .passes   = 2,
                                .heads    = H,
                                .head_dim = 64,
                                .dtype    = FIL_F32};
    write_table(r, 64);
    fil_policy_options_init(&o);
    o.name     = "auto";
    o.density  = 0.5;
    o.topology = r->path;
    if (fili_policy_open(r->ctx, &o, &setup, &p) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
    fili_policy_call call  = {.order    = &p->order,
                              .blocks   = &p->blocks,
                              .heads    = H,
                              .head_dim = 64,
                              .dtype    = FIL_F32,
                              .scale    = 0.125f};
    filk_attn_view  *to[3] = {&call.q, &call.k, &call.v};
    for (int i = 0; i < 3; i++)
        *to[i] = (filk_attn_view){.data = x[i], .stride_n = (int64_t)H * 64, .stride_h = 64};
    assert_int_equal(fili_policy_select(p, &call, &choice), FIL_OK);
    assert_non_null(choice.mask);
    assert_true(choice.density <= call.density && choice.density > 0.0);
    fili_policy_close(&p);
    setup.heads = H + 1;
    assert_int_equal(fili_policy_open(r->ctx, &o, &setup, &p), FIL_E_MISMATCH);
    assert_null(p);
    for (int i = 0; i < 3; i++)
        free(x[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_of_a_level_share_its_mass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rows_of_another_grid_sum_to_one_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(maps_of_other_heads_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(auto_takes_a_table_and_keeps_to_its_density, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
