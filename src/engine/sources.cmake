list(APPEND FIL_SOURCES
    engine/attention_api.c
    engine/file_api.c
    engine/folder_api.c
    engine/order_api.c)
