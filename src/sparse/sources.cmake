list(APPEND FIL_SOURCES
    sparse/blocks.c
    sparse/coarse.c
    sparse/fast_budgets.c
    sparse/mask.c
    sparse/mask_density.c
    sparse/mask_file.c
    sparse/mask_file_write.c
    sparse/mask_shape.c
    sparse/order.c
    sparse/order_cubes.c
    sparse/order_hilbert.c
    sparse/policy.c
    sparse/policy_count.c
    sparse/policy_dense.c
    sparse/policy_dfs.c
    sparse/policy_mask.c
    sparse/policy_preset.c
    sparse/policy_schedule.c
    sparse/policy_tail.c
<<<<<<< HEAD
    sparse/recall.c
    sparse/recall_bound.c
    sparse/sampled_mass.c
    sparse/tile_scores.c)
=======
    sparse/policy_vsa.c
    sparse/recall.c)
>>>>>>> wt-core
    sparse/policy_west.c
    sparse/recall.c
    sparse/topology.c
    sparse/topology_file.c
    sparse/topology_transfer.c
    sparse/topology_write.c
    sparse/west_map.c)
