fil_add_test(test_order)
fil_add_test(test_blocks)
fil_add_test(test_mask)
fil_add_test(test_mask_file)
