list(APPEND FIL_SOURCES
    nn/attend.c
    nn/dense.c
    nn/elementwise.c
    nn/normed.c
    nn/space.c)
