fil_add_test(test_tokenizer)
fil_add_test(test_spiece)
fil_add_test(test_biased)
fil_add_test(test_umt5)
