# Each file of an instruction set is compiled for it, and runs only where registry.c finds it.
list(APPEND FIL_SOURCES
    kernel/attention.c
    kernel/mass.c
    kernel/pooling.c
    kernel/registry.c
    kernel/ref/attn_fwd_ref.c
    kernel/ref/mass_ref.c
    kernel/ref/pooling_ref.c)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND FIL_SOURCES
        kernel/cpu/attn_panels.c
        kernel/cpu/attn_fwd_avx512bf16.c
        kernel/cpu/mass_panels.c
        kernel/cpu/mass_avx512bf16.c
        kernel/cpu/pooling_avx2.c)
    set(FIL_AVX512BF16 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mavx512bf16 -mfma)
    set_source_files_properties(kernel/cpu/attn_fwd_avx512bf16.c kernel/cpu/mass_avx512bf16.c
        PROPERTIES COMPILE_OPTIONS "${FIL_AVX512BF16};$<$<CONFIG:Debug>:-O2>")
    set_source_files_properties(kernel/cpu/pooling_avx2.c
        PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma;-mf16c")
endif()
