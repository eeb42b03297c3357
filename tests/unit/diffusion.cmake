fil_add_test(test_noise)
fil_add_test(test_sigmas)
fil_add_test(test_solver)
