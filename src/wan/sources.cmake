list(APPEND FIL_SOURCES
    wan/umt5.c
    wan/umt5_open.c)
