fil_add_test(test_arena)
fil_add_test(test_cpu)
fil_add_test(test_ctx)
fil_add_test(test_file)
fil_add_test(test_pool)
fil_add_test(test_rng)

# Of the program: the parts that need no terminal.
fil_add_test(test_progress_line ${PROJECT_SOURCE_DIR}/cli/pace.c ${PROJECT_SOURCE_DIR}/cli/progress_line.c)
target_include_directories(test_progress_line PRIVATE ${PROJECT_SOURCE_DIR})
