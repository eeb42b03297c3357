/* cli/output.h: text and JSON on standard output, with strings from files made harmless.
 *
 * A name or a metadata value may hold anything, terminal escapes and text that reorders a line
 * included. All of it passes through here: control and invisible formatting characters leave as
 * JSON escapes (\u001b), broken UTF-8 as U+FFFD. The first write error is kept and reported once,
 * by main. No width tables: a character counts as one column.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cli_out {
    FILE *stream;
    int   error; /* errno of the first failed write; 0 = none */
} cli_out;

void cli_put(cli_out *out, const char *text);
void cli_putf(cli_out *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_pad(cli_out *out, size_t columns);

/* Flushes; returns the errno of the first failed write, 0 if all is written. */
int cli_out_finish(cli_out *out);

typedef enum cli_escape {
    CLI_SHOWN, /* for people: unsafe characters only */
    CLI_JSON   /* inside a JSON string: quotes and backslashes too */
} cli_escape;

/* Writes `bytes` bytes of text, escaped, at most `max_columns` columns (SIZE_MAX: all). Returns the
 * bytes of text that were written out. */
size_t cli_put_escaped(cli_out *out, const char *text, size_t bytes, cli_escape how,
                       size_t max_columns);
/* Columns that the whole text takes as CLI_SHOWN. */
size_t cli_width(const char *text);

/* One JSON object per line: open, members, close. Keys are ours and need no escape. */
void cli_json_open(cli_out *out, const char *type);
void cli_json_text(cli_out *out, const char *key, const char *value);
/* The value is two pieces joined: the first `prefix_bytes` of `prefix`, and `value`. */
void cli_json_joined(cli_out *out, const char *key, const char *prefix, size_t prefix_bytes,
                     const char *value);
void cli_json_number(cli_out *out, const char *key, uint64_t value);
/* Six significant digits; null where the value is not finite. */
void cli_json_real(cli_out *out, const char *key, double value);
void cli_json_bool(cli_out *out, const char *key, bool value);
void cli_json_array(cli_out *out, const char *key, const int64_t *values, size_t n);
void cli_json_texts(cli_out *out, const char *key, const char *const *values, size_t n);
/* A list of objects: item 0, members, item 1, members, ..., end. Each begins with its number. */
void cli_json_item(cli_out *out, const char *list, const char *key, uint64_t number);
void cli_json_items_end(cli_out *out, const char *list, uint64_t n);
void cli_json_close(cli_out *out);

/* "2.64 GiB", "12 bytes". Written to text[CLI_HUMAN]; returns text. */
#define CLI_HUMAN 32
const char *cli_human(char *text, uint64_t bytes);

/* A word as a shell takes it, in quotes where it needs them. Written to text[size], cut off there;
 * returns text. */
const char *cli_shell_word(char *text, size_t size, const char *word);

#endif
