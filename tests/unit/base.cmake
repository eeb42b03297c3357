fil_add_test(test_arena)
fil_add_test(test_ctx)
fil_add_test(test_file)
