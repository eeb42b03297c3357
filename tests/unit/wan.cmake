fil_add_test(test_dit)
