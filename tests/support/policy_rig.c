/* tests/support/policy_rig.c: policy_rig.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/cmocka_all.h"
#include "support/policy_rig.h"

void policy_rig_start(policy_rig *r, const char *name, const fili_policy_setup *s, int32_t threads)
{
    fil_options opt;
    *r = (policy_rig){.fault = {.at = -1},
                      .s     = *s,
                      .n     = (int64_t)s->grid.f * s->grid.h * s->grid.w * s->heads * s->head_dim};
    fil_options_init(&opt);
    opt.n_threads = threads;
    opt.host      = alloc_fault_allocator(&r->fault);
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    fil_policy_options_init(&r->o);
    r->o.name = name;
    for (int i = 0; i < 3; i++) {
        r->x[i] = malloc((size_t)r->n * sizeof(float));
        assert_non_null(r->x[i]);
        fili_philox_normal(23, (uint64_t)i, 0, r->x[i], r->n);
        r->view[i] = policy_rig_view(r, r->x[i]);
    }
}

void policy_rig_end(policy_rig *r)
{
    fili_policy_close(&r->p);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
    for (int i = 0; i < 3; i++)
        free(r->x[i]);
}

void policy_rig_open(policy_rig *r)
{
    fili_policy_close(&r->p);
    if (fili_policy_open(r->ctx, &r->o, &r->s, &r->p) != FIL_OK)
        fail_msg("%s: %s", r->o.name, fil_ctx_error(r->ctx)->message);
}

void policy_rig_refuses(policy_rig *r, fil_status status, const char *says)
{
    fili_ctx_enter(r->ctx);
    assert_int_equal(fili_policy_open(r->ctx, &r->o, &r->s, &r->p), status);
    assert_null(r->p);
    if (strstr(fil_ctx_error(r->ctx)->message, says) == NULL)
        fail_msg("no '%s' in '%s'", says, fil_ctx_error(r->ctx)->message);
}

void policy_rig_call(policy_rig *r, int32_t layer, int32_t step, int32_t pass)
{
    r->call = (fili_policy_call){.layer    = layer,
                                 .step     = step,
                                 .pass     = pass,
                                 .order    = &r->p->order,
                                 .blocks   = &r->p->blocks,
                                 .heads    = r->s.heads,
                                 .head_dim = r->s.head_dim,
                                 .dtype    = r->s.dtype,
                                 .q        = r->view[0],
                                 .k        = r->view[1],
                                 .v        = r->view[2],
                                 .scale    = 1.0f / sqrtf((float)r->s.head_dim)};
}

void policy_rig_ask(policy_rig *r, int32_t layer, int32_t step, int32_t pass)
{
    policy_rig_call(r, layer, step, pass);
    r->fault.at      = r->fault.calls;
    r->fault.forever = 1;
    if (fili_policy_select(r->p, &r->call, &r->choice) != FIL_OK)
        fail_msg("%s: %s", r->o.name, fil_ctx_error(r->ctx)->message);
    assert_int_equal(r->fault.failed, 0);
    r->fault.at = -1;
}

filk_attn_view policy_rig_view(const policy_rig *r, const void *data)
{
    return (filk_attn_view){
        .data = data, .stride_n = (int64_t)r->s.heads * r->s.head_dim, .stride_h = r->s.head_dim};
}
