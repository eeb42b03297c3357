list(APPEND FIL_SOURCES
    nn/attend.c
    nn/biased.c
    nn/dense.c
    nn/elementwise.c
    nn/matmul.c
    nn/normed.c
    nn/space.c)
