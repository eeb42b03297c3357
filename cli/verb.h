/* cli/verb.h: what a verb is. One cmd_NAME.c per verb defines one cli_verb; main.c lists them.
 *
 * To add a verb: write cmd_NAME.c, declare it below, add it to the table in main.c and to
 * sources in CMakeLists.txt, describe it in docs/man/filigree.1.md, test it in tests/cli.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include "options.h"
#include "output.h"

typedef struct cli_verb cli_verb;

typedef struct cli_call {
    const cli_verb        *verb;
    const cli_verb *const *verbs; /* all of them; NULL ends the list */
    cli_common            *common;
    const void            *values; /* the verb's own options */
    char                 **args;
    int                    n_args;
    cli_out               *out;
} cli_call;

#define CLI_VALUES 512 /* bytes that a verb's values struct may have */

struct cli_verb {
    const char       *name;
    const char       *summary; /* one line, lower case, no stop */
    const char       *args;    /* "PATH"; "" if it takes none */
    int               min_args, max_args;
    const cli_option *options;
    size_t            n_options;
    const char *notes; /* for --help: paragraphs, each one line of source text, '\n' between */
    int (*run)(const cli_call *call); /* returns the exit code (report.h) */
};

extern const cli_verb cli_verb_generate;
extern const cli_verb cli_verb_decode;
extern const cli_verb cli_verb_encode;
extern const cli_verb cli_verb_compare;
extern const cli_verb cli_verb_masks;
extern const cli_verb cli_verb_calibrate;
extern const cli_verb cli_verb_convert;
extern const cli_verb cli_verb_info;
extern const cli_verb cli_verb_probe;
extern const cli_verb cli_verb_kernels;
extern const cli_verb cli_verb_selftest;
extern const cli_verb cli_verb_bench;
extern const cli_verb cli_verb_help;

/* Complete help of the program or of one verb, 100 columns wide. */
void cli_help_program(cli_out *out, const cli_verb *const *verbs);
void cli_help_verb(cli_out *out, const cli_verb *verb);

/* The verb of that name, or NULL after one sentence on stderr that suggests the nearest. */
const cli_verb *cli_find_verb(const cli_verb *const *verbs, const char *name);

#endif
