fil_add_test(test_dit)
fil_add_test(test_vae)
