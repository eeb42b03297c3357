# The demo checkpoint is written once, and opened by those that are given its place.
set(demo ${CMAKE_CURRENT_BINARY_DIR}/demo)
add_test(NAME make_demo COMMAND make_demo ${demo})
set_tests_properties(make_demo PROPERTIES FIXTURES_SETUP demo)

# fil_add_demo_test(NAME [source ...]): as fil_add_test, FIL_DEMO in its environment.
function(fil_add_demo_test name)
    fil_add_test(${name} ${ARGN})
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED demo ENVIRONMENT FIL_DEMO=${demo})
endfunction()

fil_add_test(test_attention_api)
fil_add_demo_test(test_file_api)
fil_add_test(test_bench)
fil_add_test(test_folder)
fil_add_test(test_convert_file support/dit_make.c)

# libpng, libav and sentencepiece are not instrumented: what they write would look unwritten.
if(NOT FIL_SANITIZE MATCHES "memory")
    fil_add_demo_test(test_capture)
    fil_add_test(test_compare)
    fil_add_demo_test(test_generate)
    fil_add_demo_test(test_generate_many)
    fil_add_demo_test(test_generate_policy)
    fil_add_demo_test(test_generate_device)
    target_compile_definitions(test_generate_device PRIVATE
        FAKE_BACKEND="$<TARGET_FILE:fil_fake_backend>")
    add_dependencies(test_generate_device fil_fake_backend)
    fil_add_test(test_mask_pictures)
    fil_add_demo_test(test_preview)
    fil_add_test(test_checkpoint)
    fil_add_demo_test(test_disk_room)
    fil_add_demo_test(test_run_faults)
    fil_add_test(test_frame_log)
    fil_add_test(test_recipe)
    fil_add_demo_test(test_finished)
    fil_add_demo_test(test_resume)
    fil_add_demo_test(test_generate_memory)
    fil_add_demo_test(test_calibrate)
    fil_add_demo_test(test_text_cache)
    fil_add_test(test_parity)
    fil_add_test(test_probe)
    fil_add_demo_test(test_fastwan support/dit_make.c)

    # Hours of mixed work; here a few seconds, so that it keeps working.
    add_executable(soak soak/soak.c)
    target_link_libraries(soak PRIVATE fil_flags filigree)
    target_compile_definitions(soak PRIVATE _DEFAULT_SOURCE) # mallinfo2
    add_test(NAME soak COMMAND soak ${demo} ${CMAKE_CURRENT_BINARY_DIR}/soak-scratch 5)
    file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/soak-scratch)
    set_tests_properties(soak PROPERTIES FIXTURES_REQUIRED demo TIMEOUT 600)
endif()
