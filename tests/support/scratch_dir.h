/* tests/support/scratch_dir.h: a scratch folder, `dir`, of each test of a program, and TEST, which
 * makes it before the test and removes it behind. For the one file of a program.
 */
#ifndef TESTS_SUPPORT_SCRATCH_DIR_H
#define TESTS_SUPPORT_SCRATCH_DIR_H

#include "support/cmocka_all.h"
#include "support/fault.h"

static scratch dir;

static int set_up(void **state)
{
    (void)state;
    scratch_make(&dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
