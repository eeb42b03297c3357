list(APPEND FIL_SOURCES
    tensor/convert.c
    tensor/convert_base.c
    tensor/dequant.c
    tensor/dequant_base.c
    tensor/dtype.c
    tensor/quantise.c
    tensor/view.c)

# Variants for one instruction set: built wherever the compiler targets the architecture, chosen at
# run time. Nothing else may be compiled with these flags.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND FIL_SOURCES tensor/convert_avx2.c tensor/convert_avx512.c
        tensor/dequant_avx2.c)
    set_source_files_properties(tensor/convert_avx2.c tensor/dequant_avx2.c PROPERTIES
        COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
    set_source_files_properties(tensor/convert_avx512.c PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mprefer-vector-width=512")
endif()
