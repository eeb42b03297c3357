/* tests/kernel/check.c: seeded numbers, guarded memory, comparison and reports (check.h). The
 * comparison is itself tested, by test_check.c.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/rng.h"
#include "kernel/check.h"
#include "support/sanitized.h"
#include "tensor/convert.h"

#define PAGE   ((size_t)4096)
#define POISON 0xAA

enum { SKIPPED = 77 }; /* exit code of a program that found nothing to check */

/* ---- options and reproducers ---------------------------------------------------------------- */

check_options check_opt;

static struct {
    const char *row, *test;
    uint64_t    seed;
} now;

int check_is_sanitized(void)
{
    return SANITIZED;
}

static int read_number(const char *text, uint64_t *value)
{
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') return 0;
    *value = strtoull(text, &end, 10);
    return *end == '\0';
}

static int take_option(const char *name, const char *value)
{
    uint64_t                 n;
    static const char *const names[] = {"--row", "--test", "--without"};
    const char **const       words[] = {&check_opt.row, &check_opt.test, &check_opt.without};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *words[i] = value;
            return value != NULL;
        }
    if (!read_number(value, &n)) return 0;
    if (strcmp(name, "--seed") == 0) {
        check_opt.seed = n;
        return 1;
    }
    check_opt.problems = (int64_t)n;
    return strcmp(name, "--problems") == 0;
}

int check_options_read(int argc, char **argv, const char *program, int64_t problems)
{
    uint64_t n;
    check_opt = (check_options){.program = program, .seed = 1, .problems = problems};
    if (check_is_sanitized()) check_opt.problems = (problems + 9) / 10;
    if (fili_cpu_emulates(FILI_ISA_AMX)) check_opt.problems = (problems + 4) / 5;
    if (read_number(getenv("FIL_CHECK_SEED"), &n)) check_opt.seed = n;
    if (read_number(getenv("FIL_CHECK_PROBLEMS"), &n)) check_opt.problems = (int64_t)n;
    for (int i = 1; i < argc; i += 2) {
        if (take_option(argv[i], argv[i + 1])) continue;
        fprintf(stderr,
                "usage: %s [--seed S] [--problems N] [--row NAME] [--test NAME] "
                "[--without NAME,...]\n",
                program);
        return 2;
    }
    printf("%s: seed %llu, %lld random problems a row\n", program,
           (unsigned long long)check_opt.seed, (long long)check_opt.problems);
    return 0;
}

void check_case(const char *row, const char *test, uint64_t seed)
{
    now.row  = row;
    now.test = test;
    now.seed = seed;
}

void check_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "  ");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n  reproduce: %s --seed %llu --problems 1 --row %s --test %s\n",
            check_opt.program, (unsigned long long)now.seed, now.row, now.test);
    now.test = NULL;
    fail();
    abort(); /* fail() does not return; the compiler cannot know */
}

void check_skip(void)
{
    now.test = NULL;
    skip();
    abort(); /* as above */
}

/* ---- rows ----------------------------------------------------------------------------------- */

typedef struct row_test {
    const filk_row   *row;
    const check_test *test;
    char              name[160];
} row_test;

static void run_row_test(void **state)
{
    const row_test *t = *state;
    if (t->test == NULL) skip();
    check_case(t->row->name, t->test->name, check_opt.seed);
    t->test->run(t->row);
    now.test = NULL;
}

/* A signal or an assertion that cmocka caught leaves now.test set: then the line is printed here.
 */
static int after_row_test(void **state)
{
    (void)state;
    if (now.test != NULL)
        fprintf(stderr, "  was running: %s --seed %llu --problems 1 --row %s --test %s\n",
                check_opt.program, (unsigned long long)now.seed, now.row, now.test);
    now.test = NULL;
    return 0;
}

static int is_wanted(const char *name, const char *wanted)
{
    return wanted == NULL || strcmp(name, wanted) == 0;
}

/* A build that emulates instruction sets checks their rows alone: any other build checks the rest.
 */
static int is_of_this_build(const filk_row *row)
{
    return !fili_cpu_emulates(FILI_ISA_AMX) || fili_cpu_emulates(row->isa);
}

/* Whether a name is one of those, joined by commas, that --without has. */
static int is_left_out(const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = check_opt.without; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0')) return 1;
    }
    return 0;
}

static size_t add_tests(fil_ctx *ctx, const filk_family *family, const filk_row *row,
                        const check_test *tests, size_t n_tests, row_test *out)
{
    char   reason[FILK_REASON];
    size_t n = 0;
    if (!is_wanted(row->name, check_opt.row)) return 0;
    if (check_opt.row == NULL && !is_of_this_build(row)) return 0;
    if (!filk_explain(ctx, family, row, NULL, reason)) {
        out[n].row = row;
        snprintf(out[n].name, sizeof out[n].name, "%s: %s", row->name, reason);
        return 1;
    }
    for (size_t i = 0; i < n_tests; i++) {
        if (!is_wanted(tests[i].name, check_opt.test) || is_left_out(tests[i].name)) continue;
        out[n].row  = row;
        out[n].test = &tests[i];
        snprintf(out[n].name, sizeof out[n].name, "%s: %s", row->name, tests[i].name);
        n++;
    }
    return n;
}

/* 0, and says so, where --without names what is no test. */
static int check_names(const check_test *tests, size_t n_tests)
{
    for (const char *at = check_opt.without; at != NULL; at = strchr(at, ',')) {
        if (*at == ',') at++;
        const size_t length = strcspn(at, ",");
        size_t       i      = 0;
        while (i < n_tests &&
               (strncmp(tests[i].name, at, length) != 0 || tests[i].name[length] != '\0'))
            i++;
        if (i < n_tests) continue;
        fprintf(stderr, "%s: --without names no test: %.*s\n", check_opt.program, (int)length, at);
        return 0;
    }
    return 1;
}

int check_run(const filk_family *family, const check_test *tests, size_t n_tests)
{
    fil_ctx     *ctx = NULL;
    const size_t max = (size_t)family->n_rows * (n_tests + 1);
    size_t       n   = 0;
    if (!check_names(tests, n_tests)) return 2;
    if (fil_ctx_open(&ctx, NULL) != FIL_OK) {
        fprintf(stderr, "%s\n", fil_ctx_error(NULL)->message);
        return 1;
    }
    printf("%s: device %s\n", family->name, fil_ctx_device(ctx));
    row_test          *list   = calloc(max, sizeof *list);
    struct CMUnitTest *cmocka = calloc(max, sizeof *cmocka);
    if (list == NULL || cmocka == NULL) abort();
    for (int32_t r = 0; r < family->n_rows; r++)
        n += add_tests(ctx, family, &family->rows[r], tests, n_tests, list + n);
    fil_ctx_close(&ctx);
    for (size_t i = 0; i < n; i++)
        cmocka[i] = (struct CMUnitTest){.name          = list[i].name,
                                        .test_func     = run_row_test,
                                        .teardown_func = after_row_test,
                                        .initial_state = &list[i]};
    const int none   = check_opt.row == NULL && fili_cpu_emulates(FILI_ISA_AMX) ? SKIPPED : 1;
    const int failed = n == 0 ? none : _cmocka_run_group_tests(family->name, cmocka, n, NULL, NULL);
    free(list);
    free(cmocka);
    return failed;
}

/* ---- random numbers ------------------------------------------------------------------------- */

uint32_t check_u32(check_rng *rng)
{
    return fili_philox_u32(rng->seed, rng->stream, rng->next++);
}

int64_t check_between(check_rng *rng, int64_t low, int64_t high)
{
    return low + (int64_t)((uint64_t)check_u32(rng) * (uint64_t)(high - low + 1) >> 32);
}

int check_chance(check_rng *rng, int percent)
{
    return check_between(rng, 0, 99) < percent;
}

double check_normal(check_rng *rng)
{
    const double u = (check_u32(rng) + 0.5) / 4294967296.0;
    const double a = (check_u32(rng) + 0.5) / 4294967296.0;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * a);
}

/* ---- elements ------------------------------------------------------------------------------- */

static const fili_convert_set *set(void)
{
    return fili_convert_select(FILI_ISA_REF);
}

static int64_t size_of(fil_dtype dtype)
{
    return (int64_t)fil_dtype_bits(dtype) / 8;
}

double check_load(fil_dtype dtype, const void *base, int64_t index)
{
    double value;
    fili_convert_row(set(), FIL_F64, &value, dtype, (const char *)base + index * size_of(dtype), 1);
    return value;
}

void check_store(fil_dtype dtype, void *base, int64_t index, double value)
{
    fili_convert_row(set(), dtype, (char *)base + index * size_of(dtype), FIL_F64, &value, 1);
}

void check_load_row(fil_dtype dtype, const void *base, int64_t index, int64_t n, double *out)
{
    fili_convert_row(set(), FIL_F64, out, dtype, (const char *)base + index * size_of(dtype),
                     (size_t)n);
}

double check_round(fil_dtype dtype, double value)
{
    double cell;
    check_store(dtype, &cell, 0, value);
    return check_load(dtype, &cell, 0);
}

void check_fill_normal(check_rng *rng, fil_dtype dtype, void *base, int64_t n, double sigma)
{
    float part[1024];
    for (int64_t at = 0; at < n; at += 1024) {
        const int64_t count = n - at < 1024 ? n - at : 1024;
        fili_philox_normal(rng->seed, ~rng->stream, rng->next, part, count);
        rng->next += 1024;
        for (int64_t i = 0; i < count; i++)
            part[i] = (float)sigma * part[i];
        fili_convert_row(set(), dtype, (char *)base + at * size_of(dtype), FIL_F32, part,
                         (size_t)count);
    }
}

double check_eps(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? 0x1p-8 : 0x1p-24;
}

/* ---- guarded memory ------------------------------------------------------------------------- */

void check_buffer_make(check_buffer *buffer, size_t bytes, size_t align, size_t off)
{
    const size_t room  = (bytes + off + align - 1) / align * align;
    const size_t whole = (room + PAGE - 1) / PAGE * PAGE;
    buffer->map_bytes  = whole + 2 * PAGE;
    buffer->map        = mmap(NULL, buffer->map_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (buffer->map == MAP_FAILED) abort();
    memset(buffer->map, POISON, PAGE + whole);
    if (mprotect(buffer->map + PAGE + whole, PAGE, PROT_NONE) != 0) abort();
    buffer->data  = buffer->map + PAGE + whole - room + off;
    buffer->bytes = bytes;
}

void check_buffer_free(check_buffer *buffer)
{
    if (buffer->map != NULL) munmap(buffer->map, buffer->map_bytes);
    *buffer = (check_buffer){.data = NULL};
}

void check_buffer_protect(const check_buffer *buffer, int read_only)
{
    const int how = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    if (buffer->map == NULL) return;
    if (mprotect(buffer->map, buffer->map_bytes - PAGE, how) != 0) abort();
}

int check_buffer_intact(const check_buffer *buffer)
{
    const unsigned char *end = buffer->map + buffer->map_bytes - PAGE;
    for (const unsigned char *p = buffer->map; p < buffer->data; p++)
        if (*p != POISON) return 0;
    for (const unsigned char *p = buffer->data + buffer->bytes; p < end; p++)
        if (*p != POISON) return 0;
    return 1;
}

/* ---- comparison ----------------------------------------------------------------------------- */

int check_same_class(double got, double want)
{
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want)) return got == want;
    return 1;
}

int check_value(check_report *report, int64_t a, int64_t b, int64_t c, double got, double want,
                double tolerance)
{
    const double error  = fabs(got - want);
    const int    finite = isfinite(got) && isfinite(want);
    const int    good   = check_same_class(got, want) && (!finite || error <= tolerance);
    report->n++;
    if (finite) {
        const double ratio = error == 0.0 ? 0.0 : error / tolerance;
        if (ratio > report->worst) report->worst = ratio;
        report->dot += got * want;
        report->got2 += got * got;
        report->want2 += want * want;
    }
    if (good) return 1;
    if (report->bad++ == 0) {
        report->at[0]     = a;
        report->at[1]     = b;
        report->at[2]     = c;
        report->got       = got;
        report->want      = want;
        report->tolerance = tolerance;
    }
    return 0;
}

double check_cosine_distance(const check_report *report)
{
    if (report->got2 == 0.0 && report->want2 == 0.0) return 0.0;
    if (report->got2 == 0.0 || report->want2 == 0.0) return 1.0;
    return 1.0 - report->dot / (sqrt(report->got2) * sqrt(report->want2));
}

void check_report_verdict(const check_report *report, double cosine)
{
    const double distance = check_cosine_distance(report);
    if (report->bad > 0)
        check_fail("%s[%lld, %lld, %lld] is %.9g, expected %.9g within %.3g; %lld of %lld are bad",
                   report->what, (long long)report->at[0], (long long)report->at[1],
                   (long long)report->at[2], report->got, report->want, report->tolerance,
                   (long long)report->bad, (long long)report->n);
    if (!(distance <= cosine))
        check_fail("%s: cosine distance %.3g, expected at most %.3g", report->what, distance,
                   cosine);
}

void check_same_bytes(const char *what, const void *got, const void *want, size_t bytes)
{
    const unsigned char *g = got;
    const unsigned char *w = want;
    if (memcmp(got, want, bytes) == 0) return;
    for (size_t i = 0; i < bytes; i++)
        if (g[i] != w[i])
            check_fail("%s: byte %zu of %zu is 0x%02x, expected 0x%02x", what, i, bytes, g[i],
                       w[i]);
}
