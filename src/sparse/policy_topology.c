/* sparse/policy_topology.c: a policy's run as a topology sees it (sparse/policy_topology.h). */
#include <string.h>

#include "sparse/policy_topology.h"

fili_topology_run fili_policy_topology_run(const fili_policy *p)
{
    const fili_policy_setup *s = &p->setup;
    return (fili_topology_run){.single     = s->single,
                               .layers     = s->layers,
                               .steps      = s->steps,
                               .passes     = s->passes,
                               .heads      = s->heads,
                               .model_hash = s->model_hash,
                               .sampler    = s->sampler,
                               .shift      = s->shift,
                               .sigmas     = s->sigma};
}

fil_status fili_policy_in_topology(const fili_policy *p, fil_status status)
{
    if (status != FIL_OK)
        fili_error_frame(p->ctx, "topology %s",
                         fili_quote(p->o.topology, strlen(p->o.topology)).text);
    return status;
}
