list(APPEND FIL_SOURCES
    io/folder.c
    io/safetensors_writer.c
    io/tensors.c)
