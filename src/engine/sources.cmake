list(APPEND FIL_SOURCES
    engine/file.c
    engine/folder.c)
