list(APPEND FIL_SOURCES
    io/foreign.c
    io/index.c
    io/json.c
    io/open.c
    io/pickle.c
    io/pickle_torch.c
    io/pth.c
    io/safetensors.c
    io/tensors.c
    io/zip.c)
