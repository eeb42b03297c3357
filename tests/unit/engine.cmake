fil_add_test(test_file_api)
fil_add_test(test_folder)
