/* tests/kernel/check.h: what every kernel checker shares, in the manner of dav1d's checkasm.
 *
 * A checker makes seeded problems, poisons what a kernel may write, calls the reference and the
 * kernel, and compares: classes first (NaN, the sign of an infinity), then a tolerance that the
 * caller derives per element, then the cosine distance of the whole tensor. A failure names the
 * first bad coordinate and prints one line that reproduces it:
 *     reproduce: check_attention --seed 17 --row filk_attn_... --test random_problems
 * Seeds come from --seed or FIL_CHECK_SEED, counts from --problems or FIL_CHECK_PROBLEMS.
 * It does not time anything: bench/ does.
 */
#ifndef TESTS_KERNEL_CHECK_H
#define TESTS_KERNEL_CHECK_H

#include "filigree/file.h"
#include "kernel/registry.h"
#include "support/cmocka_all.h"

/* ---- options and reproducers ---------------------------------------------------------------- */

typedef struct check_options {
    const char *program;
    uint64_t    seed;     /* of the first random problem; the next ones count up */
    int64_t     problems; /* random problems of each row */
    const char *row;      /* NULL = every row */
    const char *test;     /* NULL = every test */
    const char *without;  /* tests that are left out, joined by commas; NULL = none */
} check_options;

extern check_options check_opt;

/* Reads --seed, --problems, --row, --test, --without and the environment, and prints what holds.
 * `problems` is the default; a build with sanitizers takes a tenth of it, one with FIL_EMULATE a
 * fifth. 0, or 2 on wrong usage. */
int check_options_read(int argc, char **argv, const char *program, int64_t problems);

/* 1 in a build with the address, thread or memory sanitizer, where everything is slower. */
int check_is_sanitized(void);

/* What runs now: named by the reproducer. Strings are borrowed. */
void check_case(const char *row, const char *test, uint64_t seed);

/* Prints the message and the reproducer, and fails the cmocka test. */
void check_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Counts the test as skipped. */
void check_skip(void) __attribute__((noreturn));

/* ---- rows ----------------------------------------------------------------------------------- */

typedef struct check_test {
    const char *name; /* a claim, in words joined by underscores */
    void (*run)(const filk_row *row);
} check_test;

/* Runs every test on every row of the family that this CPU has, as one cmocka group; a row that it
 * lacks is one skipped test with its name. A build with FIL_EMULATE runs them on the rows that it
 * emulates alone, unless --row names another. Returns the number of failures, or 77, ctest's code
 * for a skipped program, where such a build emulates none of the family. */
int check_run(const filk_family *family, const check_test *tests, size_t n_tests);

/* ---- random numbers ------------------------------------------------------------------------- */

/* Philox: a value depends on (seed, stream, how many were drawn before) alone. */
typedef struct check_rng {
    uint64_t seed, stream, next;
} check_rng;

uint32_t check_u32(check_rng *rng);
int64_t  check_between(check_rng *rng, int64_t low, int64_t high); /* both included */
int      check_chance(check_rng *rng, int percent);
double   check_normal(check_rng *rng);

/* n, or the next multiple of `of`. */
static inline int64_t check_multiple(int64_t n, int64_t of)
{
    return (n + of - 1) / of * of;
}

/* ---- elements of BF16 or F32 ---------------------------------------------------------------- */

double check_load(fil_dtype dtype, const void *base, int64_t index);
void   check_store(fil_dtype dtype, void *base, int64_t index, double value);
/* n <= 128 elements from index on. */
void   check_load_row(fil_dtype dtype, const void *base, int64_t index, int64_t n, double *out);
double check_round(fil_dtype dtype, double value); /* to the type and back */
/* n standard normal values times sigma. */
void check_fill_normal(check_rng *rng, fil_dtype dtype, void *base, int64_t n, double sigma);

/* Unit roundoff: the largest relative error of one rounding, 2^-8 for BF16 and 2^-24 for F32. */
double check_eps(fil_dtype dtype);

/* ---- guarded memory ------------------------------------------------------------------------- */

/* `data` is followed by at most align - 1 guard bytes and then by a page that faults, and has a
 * page of guard bytes before it. Filled with 0xAA. */
typedef struct check_buffer {
    unsigned char *data;
    size_t         bytes;
    unsigned char *map; /* page of guard bytes, then the data */
    size_t         map_bytes;
} check_buffer;

/* align: a power of two, at most 4096. `off`: bytes by which data misses that alignment. */
void check_buffer_make(check_buffer *buffer, size_t bytes, size_t align, size_t off);
void check_buffer_free(check_buffer *buffer);
/* While protected, a write to the buffer or its guards faults. */
void check_buffer_protect(const check_buffer *buffer, int read_only);
/* 1 if no guard byte has changed. */
int check_buffer_intact(const check_buffer *buffer);

/* ---- comparison ----------------------------------------------------------------------------- */

typedef struct check_report {
    const char *what; /* "out", "lse" */
    int64_t     n, bad;
    int64_t     at[3]; /* first bad coordinate */
    double      got, want, tolerance;
    double      worst;            /* largest error / tolerance of the finite elements */
    double      dot, got2, want2; /* over the finite elements */
} check_report;

/* 1 if both are NaN, or the same infinity, or both finite. */
int check_same_class(double got, double want);

/* Adds one element; 1 if it is good: same class, and !(|got - want| > tolerance) written so that a
 * NaN anywhere, also in the tolerance, is bad. */
int check_value(check_report *report, int64_t a, int64_t b, int64_t c, double got, double want,
                double tolerance);

/* 1 - cos of the angle between the two tensors; 0 if both are zero, 1 if one is. */
double check_cosine_distance(const check_report *report);

/* check_fail if an element was bad or the cosine distance is not <= cosine. */
void check_report_verdict(const check_report *report, double cosine);

/* Compares bytes; check_fail names the first that differs. */
void check_same_bytes(const char *what, const void *got, const void *want, size_t bytes);

#endif
