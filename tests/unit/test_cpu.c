/* tests/unit/test_cpu.c: instruction set ladder, FIL_ISA, and the default thread count under faked
 * CPU masks and cgroup files. No real file is opened.
 */
#include <errno.h>
#include <string.h>

#include "base/ctx.h"
#include "support/cmocka_all.h"

/* ---- a fake system -------------------------------------------------------------------------- */

typedef struct fake_file {
    const char *path, *text;
} fake_file;

typedef struct fake_os {
    const char     *isa; /* value of FIL_ISA; NULL = unset */
    int             cpus;
    const fake_file files[6];
    int             open;
    int             pread_error; /* errno that every pread gives; 0 = none */
} fake_os;

enum { FD_BASE = 100 };

static int fake_openat(void *self, int dir, const char *path, int flags)
{
    fake_os *f = self;
    if (dir != FILI_CWD || flags != FILI_OPEN_READ) return -EINVAL;
    for (int i = 0; i < 6 && f->files[i].path != NULL; i++)
        if (strcmp(f->files[i].path, path) == 0) {
            f->open++;
            return FD_BASE + i;
        }
    return -ENOENT;
}

static int64_t fake_pread(void *self, int fd, void *dst, size_t bytes, uint64_t offset)
{
    const fake_os *f    = self;
    const char    *text = f->files[fd - FD_BASE].text;
    const size_t   size = strlen(text);
    if (f->pread_error != 0) return -f->pread_error;
    if (offset >= size) return 0;
    const size_t n = size - offset < bytes ? size - offset : bytes;
    memcpy(dst, text + offset, n);
    return (int64_t)n;
}

static int fake_close(void *self, int fd)
{
    (void)fd;
    ((fake_os *)self)->open--;
    return 0;
}

static int fake_cpu_count(void *self)
{
    return ((fake_os *)self)->cpus;
}

static const char *fake_getenv(void *self, const char *name)
{
    return strcmp(name, "FIL_ISA") == 0 ? ((fake_os *)self)->isa : NULL;
}

static int fake_permit_amx(void *self)
{
    (void)self;
    return -EPERM;
}

static fili_os fake_table(fake_os *f)
{
    fili_os os    = fili_os_posix;
    os.self       = f;
    os.openat     = fake_openat;
    os.pread      = fake_pread;
    os.close      = fake_close;
    os.cpu_count  = fake_cpu_count;
    os.getenv     = fake_getenv;
    os.permit_amx = fake_permit_amx;
    return os;
}

static int32_t threads_of(fake_os f)
{
    const fili_os os = fake_table(&f);
    const int32_t n  = fili_default_threads(&os);
    assert_int_equal(f.open, 0);
    return n;
}

/* ---- instruction sets ----------------------------------------------------------------------- */

static void names_and_levels_are_one_to_one(void **state)
{
    (void)state;
    for (int i = 0; i < FILI_ISA_COUNT; i++)
        assert_int_equal(fili_isa_from_name(fili_isa_name((fili_isa)i)), i);
    assert_int_equal(fili_isa_from_name("AVX2"), -1);
    assert_int_equal(fili_isa_from_name(""), -1);
    assert_string_equal(fili_isa_name((fili_isa)FILI_ISA_COUNT), "?");
}

static void a_level_contains_the_ones_below_on_its_ladder_only(void **state)
{
    (void)state;
    for (int have = 0; have < FILI_ISA_COUNT; have++)
        for (int need = 0; need < FILI_ISA_COUNT; need++) {
            const int neon = have == FILI_ISA_NEON || need == FILI_ISA_NEON;
            const int one =
                fili_isa_is_device((fili_isa)have) == fili_isa_is_device((fili_isa)need);
            const int want = need == FILI_ISA_REF || (one && (neon ? have == need : have >= need));
            assert_int_equal(fili_isa_has((fili_isa)have, (fili_isa)need), want);
        }
}

static fil_status open_with_isa(const char *isa, char *level, fil_error *error)
{
    fake_os       f    = {.isa = isa, .cpus = 2};
    const fili_os os   = fake_table(&f);
    fil_ctx      *ctx  = NULL;
    level[0]           = '\0';
    const fil_status s = fili_ctx_open_on(&os, &ctx, NULL);
    assert_true((s == FIL_OK) == (ctx != NULL));
    if (ctx != NULL) strcpy(level, fil_ctx_isa(ctx));
    if (error != NULL) *error = *fil_ctx_error(NULL);
    fil_ctx_close(&ctx);
    return s;
}

static void unset_or_empty_fil_isa_gives_the_cpu_level(void **state)
{
    (void)state;
    fake_os       f  = {.cpus = 1};
    const fili_os os = fake_table(&f);
    char          level[16];
    assert_int_equal(open_with_isa(NULL, level, NULL), FIL_OK);
    assert_string_equal(level, fili_isa_name(fili_cpu_isa(&os)));
    assert_int_equal(open_with_isa("", level, NULL), FIL_OK);
    assert_string_equal(level, fili_isa_name(fili_cpu_isa(&os)));
}

static void fil_isa_lowers_the_level_and_never_raises_it(void **state)
{
    (void)state;
    fake_os        f    = {.cpus = 1};
    const fili_os  os   = fake_table(&f);
    const fili_isa have = fili_cpu_isa(&os);
    char           level[16];
    for (int i = 0; i < FILI_ISA_COUNT; i++) {
        fil_error   error;
        const char *name = fili_isa_name((fili_isa)i);
        if (fili_isa_has(have, (fili_isa)i)) {
            assert_int_equal(open_with_isa(name, level, NULL), FIL_OK);
            assert_string_equal(level, name);
        } else {
            assert_int_equal(open_with_isa(name, level, &error), FIL_E_UNSUP);
            assert_non_null(strstr(error.message, name));
            assert_non_null(strstr(error.message, fili_isa_name(have)));
        }
    }
}

static void an_unknown_fil_isa_is_refused_by_name(void **state)
{
    (void)state;
    char      level[16];
    fil_error error;
    assert_int_equal(open_with_isa("sse9\x1b[1m", level, &error), FIL_E_ARG);
    assert_non_null(strstr(error.message, "'sse9?[1m'"));
    assert_non_null(strstr(error.message, "avx512bf16"));
}

static void without_permission_there_is_no_amx(void **state)
{
    (void)state;
    fake_os       f  = {.cpus = 1};
    const fili_os os = fake_table(&f);
    assert_true(fili_cpu_isa(&os) != FILI_ISA_AMX);
}

/* ---- threads -------------------------------------------------------------------------------- */

#define SELF   "/proc/self/cgroup"
#define ROOT   "/sys/fs/cgroup"
#define QUOTA  ROOT "/cpu/cpu.cfs_quota_us"
#define PERIOD ROOT "/cpu/cpu.cfs_period_us"

static void without_a_cgroup_the_affinity_mask_counts(void **state)
{
    (void)state;
    assert_int_equal(threads_of((fake_os){.cpus = 6}), 6);
    assert_int_equal(threads_of((fake_os){.cpus = 0}), 1);
    assert_int_equal(threads_of((fake_os){.cpus = -ENOSYS}), 1);
}

static void a_v2_quota_is_rounded_up(void **state)
{
    (void)state;
    const struct {
        const char *cpu_max;
        int32_t     threads;
    } cases[] = {{"200000 100000\n", 2},        {"150000 100000\n", 2}, {"100001 100000\n", 2},
                 {"100000 100000\n", 1},        {"1000 100000\n", 1},   {"900000 100000\n", 8},
                 {"9223372036854775807 1\n", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(threads_of((fake_os){.cpus  = 8,
                                              .files = {{SELF, "0::/app\n"},
                                                        {ROOT "/app/cpu.max", cases[i].cpu_max}}}),
                         cases[i].threads);
}

static void max_and_nonsense_mean_no_limit(void **state)
{
    (void)state;
    const char *const texts[] = {"max 100000\n", "", "x", "-1 100000", "100000 0", "100000 -5"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(
            threads_of((fake_os){.cpus  = 8,
                                 .files = {{SELF, "0::/app\n"}, {ROOT "/app/cpu.max", texts[i]}}}),
            8);
}

static void the_tightest_ancestor_counts(void **state)
{
    (void)state;
    const fake_os inner = {.cpus  = 8,
                           .files = {{SELF, "0::/a/b/c\n"},
                                     {ROOT "/a/b/c/cpu.max", "200000 100000"},
                                     {ROOT "/a/b/cpu.max", "max 100000"},
                                     {ROOT "/a/cpu.max", "400000 100000"}}};
    const fake_os outer = {.cpus  = 8,
                           .files = {{SELF, "0::/a/b/c\n"},
                                     {ROOT "/a/b/c/cpu.max", "500000 100000"},
                                     {ROOT "/a/cpu.max", "300000 100000"}}};
    const fake_os top   = {
          .cpus  = 8,
          .files = {{SELF, "0::/a\n"}, {ROOT "/a/cpu.max", "max 1"}, {ROOT "/cpu.max", "100 50"}}};
    assert_int_equal(threads_of(inner), 2);
    assert_int_equal(threads_of(outer), 3);
    assert_int_equal(threads_of(top), 2);
}

static void a_process_in_the_root_group_reads_the_root_limit(void **state)
{
    (void)state;
    assert_int_equal(
        threads_of(
            (fake_os){.cpus = 8, .files = {{SELF, "0::/\n"}, {ROOT "/cpu.max", "300000 100000"}}}),
        3);
}

static void a_v1_quota_counts_and_minus_one_is_none(void **state)
{
    (void)state;
    const fake_os limited = {
        .cpus  = 8,
        .files = {{SELF, "4:cpu,cpuacct:/x\n"}, {QUOTA, "250000\n"}, {PERIOD, "100000\n"}}};
    const fake_os open = {.cpus = 8, .files = {{QUOTA, "-1\n"}, {PERIOD, "100000\n"}}};
    const fake_os half = {.cpus = 8, .files = {{QUOTA, "250000\n"}}};
    assert_int_equal(threads_of(limited), 3);
    assert_int_equal(threads_of(open), 8);
    assert_int_equal(threads_of(half), 8);
}

static void both_versions_at_once_give_the_tighter(void **state)
{
    (void)state;
    const fake_os f = {.cpus  = 8,
                       .files = {{SELF, "4:cpu,cpuacct:/x\n0::/app\n"},
                                 {QUOTA, "500000"},
                                 {PERIOD, "100000"},
                                 {ROOT "/app/cpu.max", "400000 100000"}}};
    assert_int_equal(threads_of(f), 4);
}

static void a_file_that_cannot_be_read_is_no_limit(void **state)
{
    (void)state;
    const fake_os f = {.cpus        = 5,
                       .pread_error = EIO,
                       .files       = {{SELF, "0::/a\n"},
                                       {ROOT "/a/cpu.max", "100000 100000"},
                                       {QUOTA, "100000"},
                                       {PERIOD, "100000"}}};
    assert_int_equal(threads_of(f), 5);
}

static void an_endless_group_path_is_left_alone(void **state)
{
    (void)state;
    static char text[8000] = "0::/";
    memset(text + 4, 'x', sizeof text - 5);
    assert_int_equal(threads_of((fake_os){.cpus = 4, .files = {{SELF, text}}}), 4);
}

static void options_win_over_the_default(void **state)
{
    (void)state;
    fake_os       f  = {.cpus = 2};
    const fili_os os = fake_table(&f);
    fil_options   opt;
    fil_ctx      *ctx = NULL;
    fil_options_init(&opt);
    assert_int_equal(fili_ctx_open_on(&os, &ctx, &opt), FIL_OK);
    assert_int_equal(fil_ctx_threads(ctx), 2);
    fil_ctx_close(&ctx);
    opt.n_threads = 5;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, &opt), FIL_OK);
    assert_int_equal(fil_ctx_threads(ctx), 5);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_levels_are_one_to_one),
        cmocka_unit_test(a_level_contains_the_ones_below_on_its_ladder_only),
        cmocka_unit_test(unset_or_empty_fil_isa_gives_the_cpu_level),
        cmocka_unit_test(fil_isa_lowers_the_level_and_never_raises_it),
        cmocka_unit_test(an_unknown_fil_isa_is_refused_by_name),
        cmocka_unit_test(without_permission_there_is_no_amx),
        cmocka_unit_test(without_a_cgroup_the_affinity_mask_counts),
        cmocka_unit_test(a_v2_quota_is_rounded_up),
        cmocka_unit_test(max_and_nonsense_mean_no_limit),
        cmocka_unit_test(the_tightest_ancestor_counts),
        cmocka_unit_test(a_process_in_the_root_group_reads_the_root_limit),
        cmocka_unit_test(a_v1_quota_counts_and_minus_one_is_none),
        cmocka_unit_test(both_versions_at_once_give_the_tighter),
        cmocka_unit_test(a_file_that_cannot_be_read_is_no_limit),
        cmocka_unit_test(an_endless_group_path_is_left_alone),
        cmocka_unit_test(options_win_over_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
