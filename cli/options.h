/* cli/options.h: options as data. One table per verb, and one that all verbs share; the parser, the
 * help texts and the test of the man page are driven by them.
 *
 * Accepted: --name value, --name=value, -x value, -xvalue, -xy for two flags; `--` ends the
 * options; options and arguments in any order. No abbreviations.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

/* Kind of value, and what the option's field in the values struct is. */
typedef enum cli_kind {
    CLI_FLAG,   /* int, counts how often it was given */
    CLI_NUMBER, /* int64_t, within [min, max] */
    CLI_BYTES,  /* uint64_t, within [min, max]; suffix K, M, G, T or KiB, MiB, GiB, TiB */
    CLI_TEXT,   /* const char *, borrowed from argv */
    CLI_SHARE,  /* double, above 0 and at most 1; decimal digits and a point */
    CLI_REAL,   /* double, above 0 and at most max; decimal digits and a point */
    CLI_CHOICE  /* const char *, one of `choices`; NULL = not given */
} cli_kind;

typedef struct cli_option {
    const char        *name;   /* without the dashes */
    char               letter; /* short form, or 0 */
    cli_kind           kind;
    const char        *arg;  /* name of the value in help texts; NULL for a flag */
    const char        *help; /* one or two sentences without the closing stop */
    size_t             at;   /* offset of its field in the values struct */
    int64_t            min, max;
    const char *const *choices; /* NULL ends them */
} cli_option;

typedef struct cli_option_set {
    const cli_option *options;
    size_t            n; /* at most 64 */
    void             *values;
} cli_option_set;

/* Values of the options that every verb takes. Zero = not given. */
typedef struct cli_common {
    int         help, version, verbose, quiet;
    int64_t     threads;
    uint64_t    max_memory; /* bytes */
    uint64_t    max_vram;   /* bytes */
    const char *device;     /* NULL: not given */
} cli_common;

extern const cli_option cli_common_options[];
extern const size_t     cli_n_common_options;

/* Reads argv[0..n) into the sets. Arguments that are no options are moved to the front of argv, in
 * their order; *n_args is their number. Stops early, without looking further, at --help and
 * --version. Returns 0, or 2 after one sentence on stderr. */
int cli_parse(const cli_option_set *sets, size_t n_sets, const char *verb, char **argv, int n,
              int *n_args);

/* Numbers of a list "1000,937.5,0": decimal digits and points, not negative, at most `most` of
 * them. Returns their number, or -1 after one sentence on stderr. */
int cli_read_reals(const char *option, const char *text, double *values, int most);

/* "F,H,W", each 1 to 65536. Returns 0, or 2 after one sentence on stderr. */
int cli_read_grid(const char *text, int32_t grid[3]);

/* A whole number from 0 to `most`; *value stays where text is NULL. For options whose 0 differs
 * from not given. Returns 0, or 2 after one sentence on stderr. */
int cli_read_count(const char *option, const char *text, int32_t most, int32_t *value);

/* Number of single-character edits between two words; a large number if one is over 32 bytes. */
size_t cli_distance(const char *a, const char *b);

#endif
