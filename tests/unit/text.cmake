fil_add_test(test_tokenizer)
fil_add_test(test_spiece)
