list(APPEND FIL_SOURCES
    io/pickle.c
    io/pickle_torch.c
    io/pth.c
    io/tensors.c
    io/zip.c)
