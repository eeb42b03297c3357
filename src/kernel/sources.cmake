# Each file of an instruction set is compiled for it, and runs only where registry.c finds it.
list(APPEND FIL_SOURCES
    kernel/attention.c
    kernel/conv3d.c
    kernel/device_attention.c
    kernel/device_conv3d.c
    kernel/device_elementwise.c
    kernel/device_linear.c
    kernel/device_memory.c
    kernel/device_plan.c
    kernel/device_select.c
    kernel/device_stage.c
    kernel/linear.c
    kernel/mass.c
    kernel/norm.c
    kernel/pooling.c
    kernel/registry.c
    kernel/rope_table.c
    kernel/sampled.c
    kernel/select.c
    kernel/selftest.c
    kernel/selftest_attention.c
    kernel/selftest_conv3d.c
    kernel/selftest_linear.c
    kernel/selftest_mass.c
    kernel/selftest_sampled.c
    kernel/selftest_select.c
    kernel/softmax.c
    kernel/cpu/peak.c
    kernel/cpu/peak_base.c
    kernel/ref/attn_fwd_ref.c
    kernel/ref/conv3d_ref.c
    kernel/ref/linear_ref.c
    kernel/ref/mass_ref.c
    kernel/ref/norm_ref.c
    kernel/ref/pooling_ref.c
    kernel/ref/sampled_ref.c
    kernel/ref/select_ref.c)

# Kernels of a debug build are optimised, or their tests take for ever. Fuzzers run none of them, and
# clang takes minutes for one file of what it instruments. gcc takes minutes where it looks for
# undefined behaviour beside addresses: of kernels, clang's build does that. Where a kernel is, its lines
# tell; telling its variables too, all inlined into one function, takes gcc as long as the rest.
set(FIL_KERNEL_DEBUG "$<$<CONFIG:Debug,RelWithDebInfo>:-g1>")
if(FIL_FUZZ)
    set(FIL_KERNEL_LEVEL -O0)
elseif(FIL_SANITIZE MATCHES "address" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(FIL_KERNEL_LEVEL -O2 -fno-sanitize=undefined)
else()
    set(FIL_KERNEL_LEVEL -O2)
endif()

# The reference is small, and what tests spend most of their time in: -O2, and looked at for everything.
if(NOT FIL_FUZZ)
    set_source_files_properties(
        kernel/ref/attn_fwd_ref.c kernel/ref/conv3d_ref.c kernel/ref/linear_ref.c
        kernel/ref/mass_ref.c kernel/ref/norm_ref.c kernel/ref/pooling_ref.c
        kernel/ref/sampled_ref.c kernel/ref/select_ref.c
        PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Debug>:-O2>")
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND FIL_SOURCES
        kernel/cpu/attn_panels.c
        kernel/cpu/attn_fwd_amx.c
        kernel/cpu/attn_fwd_avx2.c
        kernel/cpu/attn_fwd_avx512.c
        kernel/cpu/attn_fwd_avx512bf16.c
        kernel/cpu/conv3d_wino_avx2.c
        kernel/cpu/conv3d_wino_avx512.c
        kernel/cpu/conv3d_wino_bf16_avx2.c
        kernel/cpu/linear_amx.c
        kernel/cpu/linear_avx2.c
        kernel/cpu/linear_avx512.c
        kernel/cpu/linear_finish.c
        kernel/cpu/linear_tiles.c
        kernel/cpu/mass_panels.c
        kernel/cpu/mass_amx.c
        kernel/cpu/mass_avx2.c
        kernel/cpu/mass_avx512.c
        kernel/cpu/mass_avx512bf16.c
        kernel/cpu/norm_avx2.c
        kernel/cpu/norm_avx512.c
        kernel/cpu/peak_amx.c
        kernel/cpu/peak_avx2.c
        kernel/cpu/peak_avx512.c
        kernel/cpu/peak_avx512bf16.c
        kernel/cpu/pooling_avx2.c
        kernel/cpu/sampled_avx2.c
        kernel/cpu/sampled_avx512.c
        kernel/cpu/select_avx2.c
        kernel/cpu/select_avx512.c
        kernel/cpu/softmax_avx2.c
        kernel/cpu/softmax_avx512.c
        kernel/cpu/tile_avx2.c
        kernel/cpu/tile_avx512.c)
    set_source_files_properties(
        kernel/cpu/attn_fwd_avx2.c kernel/cpu/conv3d_wino_avx2.c
        kernel/cpu/conv3d_wino_bf16_avx2.c kernel/cpu/linear_avx2.c
        kernel/cpu/mass_avx2.c kernel/cpu/norm_avx2.c kernel/cpu/peak_avx2.c
        kernel/cpu/pooling_avx2.c kernel/cpu/sampled_avx2.c kernel/cpu/select_avx2.c
        kernel/cpu/softmax_avx2.c kernel/cpu/tile_avx2.c
        PROPERTIES COMPILE_OPTIONS "${FIL_AVX2};${FIL_KERNEL_DEBUG};$<$<CONFIG:Debug>:${FIL_KERNEL_LEVEL}>")
    set_source_files_properties(
        kernel/cpu/attn_fwd_avx512.c kernel/cpu/conv3d_wino_avx512.c kernel/cpu/linear_amx.c
        kernel/cpu/linear_avx512.c kernel/cpu/mass_avx512.c kernel/cpu/norm_avx512.c
        kernel/cpu/peak_avx512.c
        kernel/cpu/sampled_avx512.c kernel/cpu/select_avx512.c
        kernel/cpu/softmax_avx512.c kernel/cpu/tile_avx512.c
        PROPERTIES COMPILE_OPTIONS "${FIL_AVX512};${FIL_KERNEL_DEBUG};$<$<CONFIG:Debug>:${FIL_KERNEL_LEVEL}>")
    set_source_files_properties(
        kernel/cpu/attn_fwd_amx.c kernel/cpu/attn_fwd_avx512bf16.c
        kernel/cpu/mass_amx.c kernel/cpu/mass_avx512bf16.c kernel/cpu/peak_avx512bf16.c
        PROPERTIES COMPILE_OPTIONS "${FIL_AVX512BF16};${FIL_KERNEL_DEBUG};$<$<CONFIG:Debug>:${FIL_KERNEL_LEVEL}>")
    if(FIL_EMULATE)
        list(APPEND FIL_SOURCES ${FIL_EMULATE_FOLDER}/amx_model.c)
        set_source_files_properties(${FIL_EMULATE_FOLDER}/amx_model.c
            PROPERTIES COMPILE_OPTIONS "${FIL_AVX2}")
    endif()
endif()

if(FIL_ONEDNN)
    set(FIL_ONEDNN_SOURCES
        kernel/cpu/conv3d_onednn.c
        kernel/cpu/linear_onednn.c
        kernel/cpu/onednn.c)
endif()
