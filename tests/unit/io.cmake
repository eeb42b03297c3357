fil_add_test(test_pickle)
fil_add_test(test_pth)
fil_add_test(test_pth_faults)
fil_add_test(test_zip)
