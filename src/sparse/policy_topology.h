/* sparse/policy_topology.h: what policies that use a calibration have in common: which run it must
 * belong to, and where a failure lies.
 */
#ifndef FILI_SPARSE_POLICY_TOPOLOGY_H
#define FILI_SPARSE_POLICY_TOPOLOGY_H

#include "sparse/policy.h"
#include "sparse/topology.h"

/* The run of p->setup, for fili_topology_fits. Strings are borrowed from it. */
fili_topology_run fili_policy_topology_run(const fili_policy *p);

/* The status; a failure is told to be in p->o.topology. */
FIL_MUSTCHECK fil_status fili_policy_in_topology(const fili_policy *p, fil_status status);

#endif
