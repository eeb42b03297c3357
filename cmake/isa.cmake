# Compiler flags of the instruction sets of x86-64, for the sources that are of one.
#
# FIL_EMULATE: what is written for AVX-512 is compiled for AVX2 instead, where <immintrin.h> is that of
# tests/support/emulate, which has the rest of the intrinsics in C; AMX is a model. Such a build says that
# this CPU has them all. It shows whether kernels are right, never how fast: nothing of it is installed.

set(FIL_AVX2 -mavx2 -mfma -mf16c)
set(FIL_AVX512 ${FIL_AVX2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd)
set(FIL_AVX512BF16 ${FIL_AVX512} -mavx512bf16)

if(FIL_EMULATE)
    find_path(SIMDE_INCLUDE_DIR simde/x86/avx512.h)
    if(NOT SIMDE_INCLUDE_DIR)
        message(FATAL_ERROR "SIMDe was not found: install libsimde-dev, or set FIL_EMULATE=OFF")
    endif()
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "GNU" OR FIL_BENCH OR FIL_CUDA)
        message(FATAL_ERROR "FIL_EMULATE goes with gcc, FIL_BENCH=OFF and FIL_CUDA=OFF: its kernels "
                            "are for tests and cannot be measured")
    endif()
    set(FIL_EMULATE_FOLDER ${PROJECT_SOURCE_DIR}/tests/support/emulate)
    # The compiler tells of vectors that no register holds; all functions on them are inlined.
    set(FIL_AVX512 ${FIL_AVX2} -I${FIL_EMULATE_FOLDER} -Wno-psabi)
    set(FIL_AVX512BF16 ${FIL_AVX512})
    target_compile_definitions(fil_flags INTERFACE FIL_EMULATE=1)
    install(CODE "message(FATAL_ERROR \"a build with FIL_EMULATE is for tests and is not installed\")")
endif()
