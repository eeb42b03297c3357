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
    engine/measure_t5.c
    engine/measure_vae.c
    engine/order_api.c)
list(APPEND FIL_ENGINE_SOURCES
    engine/decode_api.c
    engine/encode_api.c
    engine/frames_in.c
    engine/frames_out.c
    engine/generate_api.c
    engine/generate_check.c
    engine/generate_options.c
    engine/generate_run.c
    engine/generate_text.c
    engine/latents_file.c
    engine/model_api.c
    engine/model_info.c)
