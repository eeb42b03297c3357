/* cli/main.c: finds the verb, has its options parsed, runs it, and answers for stdout.
 *
 * Results go to stdout, everything else to stderr. A write error on stdout, a closed pipe included,
 * is an error like any other: SIGPIPE is ignored and the exit code is 5.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "report.h"
#include "verb.h"

static const cli_verb *const all_verbs[] = {&cli_verb_generate, &cli_verb_decode,
                                            &cli_verb_encode,   &cli_verb_calibrate,
                                            &cli_verb_probe,    &cli_verb_masks,
                                            &cli_verb_compare,  &cli_verb_convert,
                                            &cli_verb_info,     &cli_verb_kernels,
                                            &cli_verb_selftest, &cli_verb_bench,
                                            &cli_verb_help,     NULL};

/* A standard stream that is closed must not become the number of a file that we open: with stdout
 * closed, the first model file would get descriptor 1. The stand-in refuses the stream's direction,
 * so that writing to a closed stdout still fails. */
static void hold_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

/* A thread of OpenMP that waits for others spins for milliseconds, and where the machine has other
 * work, on the core that they need: a run then takes several times as long. Its runtime reads this
 * setting once, before main, so the program begins again with it; where it can't, it goes on
 * without. */
static void let_waiting_threads_sleep(char **argv)
{
    char path[4096]; /* not /proc/self/exe itself: a process is called what was executed */
    if (getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL) return;
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = '\0';
    if (setenv("OMP_WAIT_POLICY", "passive", 0) == 0) (void)execv(path, argv);
}

static int print_version(cli_out *out)
{
    cli_putf(out, "filigree %s\n", fil_version());
    return CLI_EXIT_DONE;
}

const cli_verb *cli_find_verb(const cli_verb *const *verbs, const char *name)
{
    const cli_verb *nearest = NULL;
    size_t          least   = 3;
    for (size_t i = 0; verbs[i] != NULL; i++) {
        if (strcmp(verbs[i]->name, name) == 0) return verbs[i];
        const size_t d = cli_distance(verbs[i]->name, name);
        if (d >= least) continue;
        least   = d;
        nearest = verbs[i];
    }
    if (nearest != NULL)
        (void)cli_usage("unknown verb '%.80s'; the nearest is '%s'", name, nearest->name);
    else
        (void)cli_usage("unknown verb '%.80s'; 'filigree --help' lists the verbs", name);
    return NULL;
}

static int check_count(const cli_verb *verb, int n_args, char **args)
{
    if (n_args < verb->min_args)
        return cli_usage("%s: expected %s, found %s", verb->name, verb->args,
                         n_args == 0 ? "no argument" : "the end of the line");
    if (n_args > verb->max_args)
        return cli_usage("%s: expected %s and nothing behind it, found '%.80s'", verb->name,
                         verb->args[0] != '\0' ? verb->args : "no argument", args[verb->max_args]);
    return CLI_EXIT_DONE;
}

static int run_verb(const cli_verb *verb, char **argv, int n, cli_out *out)
{
    _Alignas(max_align_t) unsigned char values[CLI_VALUES] = {0};

    cli_common           common = {0};
    const cli_option_set sets[] = {
        {.options = verb->options, .n = verb->n_options, .values = values},
        {.options = cli_common_options, .n = cli_n_common_options, .values = &common},
    };
    int n_args = 0;
    int code   = cli_parse(sets, 2, verb->name, argv, n, &n_args);
    if (code != CLI_EXIT_DONE) return code;
    if (common.version != 0) return print_version(out);
    if (common.help != 0) {
        cli_help_verb(out, verb);
        return CLI_EXIT_DONE;
    }
    code = check_count(verb, n_args, argv);
    if (code != CLI_EXIT_DONE) return code;
    const cli_call call = {.verb   = verb,
                           .verbs  = all_verbs,
                           .common = &common,
                           .values = values,
                           .args   = argv,
                           .n_args = n_args,
                           .out    = out};
    return verb->run(&call);
}

static int dispatch(char **argv, int n, cli_out *out)
{
    if (n == 0)
        return cli_usage("expected a verb, found no argument; 'filigree --help' lists the verbs");
    const char *word = argv[0];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) return print_version(out);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cli_help_program(out, all_verbs);
        return CLI_EXIT_DONE;
    }
    if (word[0] == '-')
        return cli_usage(
            "expected a verb, --help or --version, found '%.80s'; options stand behind "
            "the verb",
            word);
    const cli_verb *verb = cli_find_verb(all_verbs, word);
    return verb != NULL ? run_verb(verb, argv + 1, n - 1, out) : CLI_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    cli_out     out = {.stream = stdout};
    let_waiting_threads_sleep(argv);
    hold_standard_streams();
    (void)signal(SIGPIPE, SIG_IGN); /* both are failures of a write, which is told */
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    int code = dispatch(argv + (argc > 0), argc > 0 ? argc - 1 : 0, &out);
    cli_progress_wipe();
    const int error = cli_out_finish(&out);
    if (error == 0) return code;
    cli_error("cannot write to standard output: %s", strerror(error));
    return code != CLI_EXIT_DONE ? code : CLI_EXIT_IO;
}
