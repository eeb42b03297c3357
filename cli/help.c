/* cli/help.c: help texts, made from the verb and option tables (verb.h, options.h), so that a help
 * text cannot lie about what the parser takes. Lines are at most 100 columns.
 */
#include <string.h>

#include "report.h"
#include "verb.h"

#define WIDTH 100

/* Words of one paragraph, wrapped; the cursor stands at column `column`. */
static void wrap(cli_out *out, const char *text, size_t bytes, size_t indent, size_t column)
{
    const char *end   = text + bytes;
    bool        first = true;
    while (text < end) {
        const char  *space = memchr(text, ' ', (size_t)(end - text));
        const size_t word  = (size_t)((space != NULL ? space : end) - text);
        if (!first && column + 1 + word > WIDTH) {
            cli_put(out, "\n");
            cli_pad(out, indent);
            column = indent;
        } else if (!first) {
            cli_put(out, " ");
            column++;
        }
        cli_putf(out, "%.*s", (int)word, text);
        column += word;
        first = false;
        text += word + (space != NULL);
    }
    cli_put(out, "\n");
}

/* A line "  left   right", right wrapped in its own column. */
static void entry(cli_out *out, const char *left, size_t width, const char *right)
{
    const size_t column = width + 4;
    cli_putf(out, "  %-*s  ", (int)width, left);
    wrap(out, right, strlen(right), column, column);
}

/* Text with line ends: each line is a paragraph; lines that begin with a blank stay as they are. */
static void paragraphs(cli_out *out, const char *text)
{
    while (*text != '\0') {
        const size_t bytes = strcspn(text, "\n");
        if (text[0] == ' ')
            cli_putf(out, "%.*s\n", (int)bytes, text);
        else
            wrap(out, text, bytes, 0, 0);
        text += bytes + (text[bytes] == '\n');
    }
}

enum { LABEL = 48 };

/* "-v, --verbose" or "    --threads N" */
static void option_label(char label[LABEL], const cli_option *o)
{
    char letter[5] = "    ";
    if (o->letter != 0) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(label, LABEL, "%s--%s%s%s", letter, o->name, o->arg != NULL ? " " : "",
             o->arg != NULL ? o->arg : "");
}

static size_t widest_label(const cli_option *options, size_t n)
{
    size_t widest = 0;
    for (size_t i = 0; i < n; i++) {
        char label[LABEL];
        option_label(label, &options[i]);
        if (strlen(label) > widest) widest = strlen(label);
    }
    return widest;
}

static void option_lines(cli_out *out, const cli_option *options, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++) {
        char label[LABEL];
        option_label(label, &options[i]);
        entry(out, label, width, options[i].help);
    }
}

static void exit_codes(cli_out *out)
{
    cli_put(out, "\nexit codes:\n");
#define PRINT(name, code, text) cli_putf(out, "  %2d  %s\n", (code), (text));
    CLI_EXIT_LIST(PRINT)
#undef PRINT
}

void cli_help_program(cli_out *out, const cli_verb *const *verbs)
{
    size_t width = 0;
    for (size_t i = 0; verbs[i] != NULL; i++)
        if (strlen(verbs[i]->name) > width) width = strlen(verbs[i]->name);
    cli_put(out, "filigree: video diffusion transformers with block-sparse attention\n\n"
                 "usage: filigree VERB [OPTION]... [ARGUMENT]...\n"
                 "       filigree --help | --version\n\nverbs:\n");
    for (size_t i = 0; verbs[i] != NULL; i++)
        entry(out, verbs[i]->name, width, verbs[i]->summary);
    cli_put(out, "\noptions of every verb:\n");
    option_lines(out, cli_common_options, cli_n_common_options,
                 widest_label(cli_common_options, cli_n_common_options));
    cli_put(out, "\nenvironment:\n");
    entry(out, "FIL_ISA", 16,
          "cap the instruction set: ref, avx2, avx512, avx512bf16, amx or neon; default: what the "
          "CPU has");
    entry(out, "FIL_DEVICE", 16, "where kernels run: cpu, cuda, cuda:1, ...; default: cpu");
    entry(out, "FIL_CUDA_BACKEND", 16,
          "the CUDA backend's file; default: the one beside the library");
    exit_codes(out);
    cli_put(out, "\n'filigree VERB --help' describes a verb; filigree(1) describes everything.\n");
}

void cli_help_verb(cli_out *out, const cli_verb *verb)
{
    const size_t own    = widest_label(verb->options, verb->n_options);
    const size_t common = widest_label(cli_common_options, cli_n_common_options);
    cli_putf(out, "filigree %s: %s\n\nusage: filigree %s [OPTION]...%s%s\n\noptions:\n", verb->name,
             verb->summary, verb->name, verb->args[0] != '\0' ? " " : "", verb->args);
    option_lines(out, verb->options, verb->n_options, own > common ? own : common);
    option_lines(out, cli_common_options, cli_n_common_options, own > common ? own : common);
    cli_put(out, "\n");
    paragraphs(out, verb->notes);
}
