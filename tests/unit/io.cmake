fil_add_test(test_pickle support/pth_make.c)
fil_add_test(test_pth support/pth_make.c support/pth_open.c fuzz/memory_file.c)
fil_add_test(test_pth_files support/pth_make.c)
fil_add_test(test_zip support/pth_make.c fuzz/memory_file.c)
