list(APPEND FIL_SOURCES
    io/model_folder.c
    io/foreign.c
    io/index.c
    io/json.c
    io/open.c
    io/pickle.c
    io/pickle_torch.c
    io/pth.c
    io/safetensors.c
    io/safetensors_writer.c
    io/tensors.c
    io/zip.c)
list(APPEND FIL_ENGINE_SOURCES
    io/png_image.c
    io/video.c)
