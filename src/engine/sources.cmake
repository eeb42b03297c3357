list(APPEND FIL_SOURCES
    engine/attention_api.c
    engine/file_api.c
    engine/folder_api.c
    engine/kernels_api.c
    engine/measure_attention.c
    engine/measure_dit.c
    engine/measure_linear.c
    engine/measure_mask.c
    engine/measure_mass.c
    engine/measure_model.c
    engine/measure_run.c
    engine/measure_vae.c
    engine/model_info.c
    engine/order_api.c)
