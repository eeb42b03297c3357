# What belongs to a build with FIL_EMULATE beside the kernel checkers: tests that run kernels of the
# emulated instruction sets, alone or in a model. Two minutes on two cores.
fil_add_test(test_amx)
fil_add_test(test_attention_api)
fil_add_test(test_biased)
fil_add_test(test_convert)
fil_add_test(test_dit)
fil_add_test(test_dit_gate support/dit_make.c support/dit_reference.c)
fil_add_test(test_recall_bound)
fil_add_test(test_softmax)
fil_add_test(test_tile)
fil_add_test(test_tile_scores)
fil_add_test(test_umt5)

add_test(NAME selftest COMMAND filigree_cli selftest)
