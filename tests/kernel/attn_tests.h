/* tests/kernel/attn_tests.h: the lists of tests that check_attention.c runs on every row: random
 * problems, the adversarial catalogue (reliability 3.3.5), laws, promises, large, fixtures.
 */
#ifndef TESTS_KERNEL_ATTN_TESTS_H
#define TESTS_KERNEL_ATTN_TESTS_H

#include "kernel/attn_case.h"

#define ATTN_TEST(name)                                                                            \
    {                                                                                              \
#name, name                                                                                \
    }

extern const check_test attn_random_tests[];
extern const check_test attn_adversarial_tests[];
extern const check_test attn_nonfinite_tests[];
extern const check_test attn_law_tests[];
extern const check_test attn_promise_tests[];
extern const check_test attn_large_tests[];
extern const check_test attn_fixture_tests[];

/* Each list ends with a NULL name. */

#endif
