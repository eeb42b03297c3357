list(APPEND FIL_SOURCES
    io/model_folder.c
    io/foreign.c
    io/gguf.c
    io/gguf_bytes.c
    io/gguf_pairs.c
    io/gguf_writer.c
    io/index.c
    io/json.c
    io/open.c
    io/piece_log.c
    io/pickle.c
    io/pickle_torch.c
    io/pth.c
    io/safetensors.c
    io/safetensors_writer.c
    io/sha256.c
    io/tensors.c
    io/zip.c)
# Tokenizer, pictures and videos belong to the engine alone.
list(APPEND FIL_ENGINE_SOURCES
    io/media_head.c
    io/png_head.c
    io/png_image.c
    io/spiece_check.c
    io/text_clean.c
    io/text_html.c
    io/text_mojibake.c
    io/text_nfc.c
    io/text_tables_capitals.c
    io/text_tables_entities.c
    io/text_tables_mojibake.c
    io/text_tables_nfc.c
    io/tokenizer.c
    io/tokenizer_files.c
    io/video_file.c
    io/video_format.c
    io/webp_head.c
    io/y4m_file.c)
if(NOT FIL_SENTENCEPIECE)
    list(APPEND FIL_ENGINE_SOURCES io/sentencepiece_none.c)
endif()
