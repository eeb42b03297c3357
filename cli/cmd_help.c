/* cli/cmd_help.c: `filigree help [VERB]`, the same texts as --help. They are made in help.c from
 * the tables of the verbs; nothing is written here. An unknown verb is met as main.c would meet
 * it.
 */
#include "report.h"
#include "verb.h"

static int run(const cli_call *call)
{
    if (call->n_args == 0) {
        cli_help_program(call->out, call->verbs);
        return CLI_EXIT_DONE;
    }
    const cli_verb *verb = cli_find_verb(call->verbs, call->args[0]);
    if (verb == NULL) return CLI_EXIT_USAGE;
    cli_help_verb(call->out, verb);
    return CLI_EXIT_DONE;
}

const cli_verb cli_verb_help = {
    .name     = "help",
    .summary  = "print the help of the program or of a verb",
    .args     = "[VERB]",
    .min_args = 0,
    .max_args = 1,
    .notes    = "Prints to stdout what 'filigree --help' and 'filigree VERB --help' print.",
    .run      = run,
};
