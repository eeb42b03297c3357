list(APPEND FIL_SOURCES
    engine/attention_api.c
    engine/bench_attention.c
    engine/bench_linear.c
    engine/bench_mask.c
    engine/bench_mass.c
    engine/bench_run.c
    engine/file_api.c
    engine/folder_api.c
    engine/kernels_api.c
    engine/order_api.c)
