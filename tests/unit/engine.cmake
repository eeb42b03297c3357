fil_add_test(test_attention_api)
fil_add_test(test_file_api)
fil_add_test(test_bench)
fil_add_test(test_folder)
fil_add_test(test_convert_file support/dit_make.c)

# The demo checkpoint is written once and opened by test_file_api.
set(demo ${CMAKE_CURRENT_BINARY_DIR}/demo)
add_test(NAME make_demo COMMAND make_demo ${demo})
set_tests_properties(make_demo PROPERTIES FIXTURES_SETUP demo)
set_tests_properties(test_file_api PROPERTIES FIXTURES_REQUIRED demo ENVIRONMENT FIL_DEMO=${demo})

# libpng, libav and sentencepiece are not instrumented: what they write would look unwritten.
if(NOT FIL_SANITIZE MATCHES "memory")
    fil_add_test(test_capture)
    fil_add_test(test_compare)
    fil_add_test(test_generate)
    fil_add_test(test_generate_many)
    fil_add_test(test_generate_policy)
    fil_add_test(test_mask_pictures)
    fil_add_test(test_preview)
    fil_add_test(test_checkpoint)
    fil_add_test(test_frame_log)
    fil_add_test(test_recipe)
    fil_add_test(test_resume)
    fil_add_test(test_finished)
    set_tests_properties(test_capture test_generate test_generate_many test_generate_policy test_preview test_resume
        test_finished PROPERTIES
        FIXTURES_REQUIRED demo ENVIRONMENT FIL_DEMO=${demo})
    fil_add_test(test_generate_memory)
    set_tests_properties(test_generate_memory PROPERTIES
        FIXTURES_REQUIRED demo ENVIRONMENT FIL_DEMO=${demo})
    fil_add_test(test_calibrate)
    set_tests_properties(test_calibrate PROPERTIES
        FIXTURES_REQUIRED demo ENVIRONMENT FIL_DEMO=${demo})
    fil_add_test(test_text_cache)
    set_tests_properties(test_text_cache PROPERTIES
        FIXTURES_REQUIRED demo ENVIRONMENT FIL_DEMO=${demo})
    fil_add_test(test_parity)
    fil_add_test(test_probe)
    fil_add_test(test_fastwan support/dit_make.c)
    set_tests_properties(test_fastwan PROPERTIES
        FIXTURES_REQUIRED demo ENVIRONMENT FIL_DEMO=${demo})
endif()
