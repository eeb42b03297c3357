fil_add_test(test_registry)
fil_add_test(test_select_top)
fil_add_test(test_softmax)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    fil_add_test(test_amx)
    fil_add_test(test_tile)
endif()

# A row is broken on purpose: calls of its run go through the test's.
fil_add_test(test_selftest)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_link_options(test_selftest PRIVATE
        -Wl,--wrap=filk_attn_fwd_bf16_p16__avx2_run)
endif()

fil_add_test(test_device)
target_compile_definitions(test_device PRIVATE
    FAKE_BACKEND="$<TARGET_FILE:fil_fake_backend>")
add_dependencies(test_device fil_fake_backend)

# The backend's small functions, where there is a device.
fil_add_test(test_device_functions)

# What the CUDA backend works out without a GPU.
fil_add_test(test_cuda_host)
