fil_add_test(test_malformed)
fil_add_test(test_io_faults)
