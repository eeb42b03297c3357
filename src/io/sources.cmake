list(APPEND FIL_SOURCES
    io/foreign.c
    io/index.c
    io/json.c
    io/open.c
    io/safetensors.c
    io/tensors.c)
