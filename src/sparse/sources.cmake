list(APPEND FIL_SOURCES
    sparse/blocks.c
    sparse/fast_budgets.c
    sparse/mask.c
    sparse/mask_density.c
    sparse/mask_file.c
    sparse/mask_file_write.c
    sparse/mask_shape.c
    sparse/order.c
    sparse/order_cubes.c
    sparse/order_hilbert.c
    sparse/recall.c
    sparse/topology.c
    sparse/topology_file.c
    sparse/topology_transfer.c
    sparse/topology_write.c
    sparse/west_map.c)
