list(APPEND FIL_SOURCES
    wan/dit_config.c
    wan/dit_forward.c
    wan/dit_load.c
    wan/dit_open.c
    wan/dit_tensors.c
    wan/model_paths.c
    wan/names_dit.c
    wan/names_t5.c
    wan/names_vae.c
    wan/umt5.c
    wan/umt5_open.c
    wan/weights.c
    wan/weights_config.c
    wan/weights_take.c)
