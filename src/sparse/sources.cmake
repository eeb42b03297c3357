list(APPEND FIL_SOURCES
    sparse/band.c
    sparse/blocks.c
    sparse/mask.c
    sparse/mask_density.c
    sparse/mask_file.c
    sparse/mask_file_write.c
    sparse/mask_shape.c
    sparse/oracle_mask.c
    sparse/order.c
    sparse/order_cubes.c
    sparse/order_hilbert.c
    sparse/radial_mask.c
    sparse/rank.c
    sparse/recall.c
    sparse/svg_mask.c
    sparse/window_mask.c)
