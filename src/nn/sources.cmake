list(APPEND FIL_SOURCES
    nn/biased.c
    nn/matmul.c)
