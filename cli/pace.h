/* cli/pace.h: how long units of work take, and what is left. Knows no clock: times are given to it,
 * in seconds.
 */
#ifndef CLI_PACE_H
#define CLI_PACE_H

#include <stdbool.h>

#include "filigree/filigree.h"

enum { CLI_PACE = 8 }; /* the last units count: dense steps of a sparse run take longer */

typedef struct cli_pace {
    const char *phase; /* NULL: none yet */
    uint64_t    first, done, total, part, parts;
    double      begun;            /* the phase */
    double      at[CLI_PACE + 1]; /* when so many units were done, ring */
    uint64_t    count[CLI_PACE + 1];
    int         n, last; /* entries of the ring, and the newest */
} cli_pace;

/* What a call of the progress callback means. */
typedef enum cli_pace_news { CLI_PACE_PHASE, CLI_PACE_UNIT, CLI_PACE_PART } cli_pace_news;

/* Takes what the library tells at `time`. */
cli_pace_news cli_pace_take(cli_pace *pace, const fil_progress *told, double time);

bool cli_pace_ended(const cli_pace *pace);

/* Seconds of a unit; NAN while nothing is known. */
double cli_pace_each(const cli_pace *pace, double time);
/* Seconds until the phase ends, not below 0; NAN while nothing is known. */
double cli_pace_left(const cli_pace *pace, double time);
/* Share of the phase that is done, parts of units included; 0 to 1. */
double cli_pace_share(const cli_pace *pace);

/* "0:42", "12:05", "3:07:09". Written to text[CLI_CLOCK]; returns text. */
#define CLI_CLOCK 24
const char *cli_clock(char *text, double seconds);

#endif
