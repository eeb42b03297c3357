list(APPEND FIL_SOURCES
    io/tensors.c)
