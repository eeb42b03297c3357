fil_add_test(test_convert)
fil_add_test(test_dequant)
fil_add_test(test_dtype)
fil_add_test(test_view)
