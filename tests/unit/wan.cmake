fil_add_test(test_dit)
fil_add_test(test_weights support/dit_make.c)
fil_add_test(test_dit_laws support/dit_make.c support/dit_reference.c)
fil_add_test(test_model_paths)
