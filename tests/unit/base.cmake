fil_add_test(test_cpu)
fil_add_test(test_pool)
fil_add_test(test_rng)
