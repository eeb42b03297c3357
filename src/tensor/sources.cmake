list(APPEND FIL_SOURCES
    tensor/dtype.c)
