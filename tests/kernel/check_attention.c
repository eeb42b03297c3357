/* tests/kernel/check_attention.c: every row of kernel/attention.inc that this CPU has, against the
 * oracle. Usage and reproducer lines: check.h. The tests themselves are in attn_*.c.
 */
#include "kernel/attn_tests.h"

enum { MAX_TESTS = 96 };

static const check_test *const lists[] = {attn_random_tests,    attn_adversarial_tests,
                                          attn_nonfinite_tests, attn_law_tests,
                                          attn_promise_tests,   attn_large_tests};

int main(int argc, char **argv)
{
    check_test tests[MAX_TESTS];
    size_t     n = 0;
    if (check_options_read(argc, argv, "check_attention", 200) != 0) return 2;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const check_test *t = lists[i]; t->name != NULL && n < MAX_TESTS; t++)
            tests[n++] = *t;
    return check_run(&filk_attention, tests, n);
}
