/* engine/kernels_api.c: fil_kernels, fil_kernel_get and fil_selftest of filigree/attention.h, and
 * the cases of filigree/bench.h: which row the usual problems of each family get, and why.
 */
#include <stdio.h>
#include <string.h>

#include "filigree/attention.h"
#include "filigree/bench.h"
#include "kernel/attention.h"
#include "kernel/conv3d.h"
#include "kernel/linear.h"
#include "kernel/mass.h"
#include "kernel/norm.h"
#include "kernel/pooling.h"
#include "kernel/select.h"
#include "kernel/selftest.h"

_Static_assert(sizeof((fil_kernel_info *)NULL)->reason == FILK_REASON, "one size of reasons");

/* ---- listing -------------------------------------------------------------------------------- */

int32_t fil_kernels(const fil_ctx *ctx)
{
    int32_t n = 0;
    (void)ctx;
    for (int32_t f = 0; f < filk_n_families; f++)
        n += filk_families[f]->n_rows;
    return n;
}

static void describe(const fil_ctx *ctx, const filk_family *family, const filk_row *row,
                     fil_kernel_info *info)
{
    *info = (fil_kernel_info){
        .family = family->name, .name = row->name, .isa = fili_isa_name(row->isa)};
    info->available = filk_explain(ctx, family, row, NULL, info->reason);
}

void fil_kernel_get(const fil_ctx *ctx, int32_t i, fil_kernel_info *info)
{
    *info = (fil_kernel_info){.family = NULL};
    for (int32_t f = 0; ctx != NULL && f < filk_n_families && i >= 0; f++) {
        if (i < filk_families[f]->n_rows) {
            describe(ctx, filk_families[f], &filk_families[f]->rows[i], info);
            return;
        }
        i -= filk_families[f]->n_rows;
    }
}

/* ---- self-test ------------------------------------------------------------------------------ */

typedef struct selftest {
    fil_ctx        *ctx;
    fil_selftest_fn told;
    void           *user;
    int32_t         failed;
} selftest;

static fil_status test_row(selftest *s, const filk_family *family, const filk_row *row)
{
    const fili_os       *os = s->ctx->os;
    filk_selftest_result result;
    fil_kernel_info      info;
    describe(s->ctx, family, row, &info);
    if (!info.available) return FIL_OK;
    const uint64_t start = os->clock_ns(os->self);
    FIL_TRY(filk_selftest(s->ctx, family, row, &result));
    const double seconds = 1e-9 * (double)(os->clock_ns(os->self) - start);
    const int    passed  = result.error <= 1.0;
    if (!passed) {
        s->failed++;
        filk_disable(s->ctx, family, row);
        fili_log(s->ctx, FIL_LOG_WARNING, "%s failed the self-test and is not used: %s", row->name,
                 result.text);
    }
    if (s->told != NULL) s->told(s->user, &info, passed, result.error, seconds, result.text);
    return FIL_OK;
}

fil_status fil_selftest(fil_ctx *ctx, fil_selftest_fn told, void *user, int32_t *n_failed)
{
    FIL_CHECK(NULL, ctx != NULL, "fil_selftest: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, n_failed != NULL, "fil_selftest: n_failed is NULL");
    selftest s = {.ctx = ctx, .told = told, .user = user};
    *n_failed  = 0;
    for (int32_t f = 0; f < filk_n_families; f++)
        for (int32_t r = 0; r < filk_families[f]->n_rows; r++)
            FIL_TRY(test_row(&s, filk_families[f], &filk_families[f]->rows[r]));
    *n_failed = s.failed;
    return FIL_OK;
}

/* ---- cases ---------------------------------------------------------------------------------- */

/* Sizes that no row asks for are those of a small clip. */
#define ATTENTION(type, d, more)                                                                   \
    &(const filk_attn_problem)                                                                     \
    {                                                                                              \
        .nq = 4096, .nk = 4096, .heads = 12, .kv_heads = 12, .mq = 64, .mk = 64, .dtype = (type),  \
        .head_dim = (d), .max_sinks = (more)*FILK_MAX_SINKS, .has_tail = (more)                    \
    }
#define MASS(type, d)                                                                              \
    &(const filk_mass_problem)                                                                     \
    {                                                                                              \
        .nq = 4096, .nk = 4096, .heads = 12, .kv_heads = 12, .mq = 64, .mk = 64, .dtype = (type),  \
        .head_dim = (d)                                                                            \
    }
#define LINEAR(type, act_)                                                                         \
    &(const filk_linear_problem)                                                                   \
    {                                                                                              \
        .m = 4096, .n = 1536, .k = 1536, .x_stride = 1536, .dtype = (type), .out_dtype = (type),   \
        .bias_dtype = (type), .act = (act_), .packed = 1                                           \
    }
#define NORM(kind_, head)                                                                          \
    &(const filk_norm_problem)                                                                     \
    {                                                                                              \
        .rows = 4096, .dim = 1536, .kind = (kind_), .dtype = FIL_BF16, .out_dtype = FIL_BF16,      \
        .head_dim = (head)                                                                         \
    }
#define CONV3D(type)                                                                               \
    &(const filk_conv3d_problem)                                                                   \
    {                                                                                              \
        .t = {4, 3, 1, 2, 0}, .h = {60, 3, 1, 1, 1}, .w = {104, 3, 1, 1, 1}, .c_in = 96,           \
        .c_out = 96, .dtype = (type), .out_dtype = (type), .bias_dtype = FIL_F32                   \
    }

static const struct {
    const filk_family *family;
    const char        *text;
    const void        *problem;
} cases[] = {
    {&filk_attention, "bf16, head dim 128", ATTENTION(FIL_BF16, 128, 0)},
    {&filk_attention, "bf16, head dim 128, tail and sinks", ATTENTION(FIL_BF16, 128, 1)},
    {&filk_attention, "bf16, head dim 64", ATTENTION(FIL_BF16, 64, 0)},
    {&filk_attention, "f32, head dim 128", ATTENTION(FIL_F32, 128, 0)},
    {&filk_mass, "bf16, head dim 128", MASS(FIL_BF16, 128)},
    {&filk_mass, "f32, head dim 128", MASS(FIL_F32, 128)},
    {&filk_pooling, "bf16, head dim 128",
     &(const filk_pooling_problem){
         .n = 4096, .heads = 12, .m = 64, .head_dim = 128, .dtype = FIL_BF16}},
    {&filk_selection, "votes of tiles of 16 tokens",
     &(const filk_select_problem){.kind     = FILK_SELECT_SOFTMAX,
                                  .heads    = 12,
                                  .kv_heads = 12,
                                  .head_dim = 128,
                                  .tq       = 256,
                                  .tk       = 256,
                                  .mq       = 64,
                                  .mk       = 64,
                                  .keep     = 6}},
    {&filk_linear, "bf16, GELU, packed weights", LINEAR(FIL_BF16, FILK_ACT_GELU_TANH)},
    {&filk_linear, "f32, packed weights", LINEAR(FIL_F32, FILK_ACT_NONE)},
    {&filk_norm, "bf16, LayerNorm with modulation", NORM(FILK_NORM_MODULATED, 0)},
    {&filk_norm, "bf16, RMS norm with rotation", NORM(FILK_NORM_RMS, 128)},
    {&filk_conv3d, "bf16, causal 3x3x3", CONV3D(FIL_BF16)},
    {&filk_conv3d, "f32, causal 3x3x3", CONV3D(FIL_F32)},
};

enum { N_CASES = sizeof cases / sizeof cases[0] };

int32_t fil_kernel_cases(const fil_ctx *ctx)
{
    (void)ctx;
    return N_CASES;
}

void fil_kernel_case_get(const fil_ctx *ctx, int32_t i, fil_kernel_case *out)
{
    char reason[FILK_REASON];
    *out = (fil_kernel_case){.family = NULL};
    if (ctx == NULL || i < 0 || i >= N_CASES) return;
    const filk_family *family = cases[i].family;
    out->family               = family->name;
    out->text                 = cases[i].text;
    for (int32_t r = 0; r < family->n_rows && out->chosen == NULL; r++)
        if (filk_explain(ctx, family, &family->rows[r], cases[i].problem, reason))
            out->chosen = family->rows[r].name;
}

int fil_kernel_case_takes(const fil_ctx *ctx, int32_t i, const char *kernel, char reason[96])
{
    snprintf(reason, FILK_REASON, "no such kernel or case");
    if (ctx == NULL || i < 0 || i >= N_CASES || kernel == NULL) return 0;
    const filk_family *family = cases[i].family;
    for (int32_t r = 0; r < family->n_rows; r++)
        if (strcmp(family->rows[r].name, kernel) == 0)
            return filk_explain(ctx, family, &family->rows[r], cases[i].problem, reason);
    return 0;
}
