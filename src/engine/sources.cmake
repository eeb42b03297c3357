list(APPEND FIL_SOURCES
    engine/attention_api.c
    engine/attention_bench.c
    engine/linear_bench.c
    engine/bench_mask.c
    engine/mass_bench.c
    engine/bench_run.c
    engine/file_api.c
    engine/folder_api.c
    engine/kernels_api.c
    engine/order_api.c)
