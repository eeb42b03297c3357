list(APPEND FIL_SOURCES
    engine/file_api.c
    engine/folder_api.c)
