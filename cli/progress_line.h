/* cli/progress_line.h: how far a run is, as one line of text for a terminal of some width.
 *
 *     [2/5] sample step 13/50, 43 %  [=====>              ] 25 %  23.4 s each  4:40  left 14:25
 *
 * What matters less is left out first where the line would not fit; what is left is cut. ASCII
 * alone, so that a byte is a column, but for the escapes of colour, which take none.
 */
#ifndef CLI_PROGRESS_LINE_H
#define CLI_PROGRESS_LINE_H

#include "pace.h"

enum { CLI_LINE = 512 }; /* bytes that a line takes at most, its NUL included */

typedef struct cli_progress_look {
    int  columns; /* of the terminal; the line takes one less, so that nothing wraps */
    bool colour;
} cli_progress_look;

/* around: the phase that this one is a part of, as prompts are around steps; phase NULL = none.
 * Returns the columns that the line takes. */
int cli_progress_line(char line[CLI_LINE], const cli_pace *pace, const cli_pace *around,
                      double time, cli_progress_look look);

/* For a file: "sample 12/50, 23.4 s each, 4:40 so far, 14:25 left"; of a phase that has ended
 * "sample ended after 19:30, 23.4 s each". */
void cli_progress_text(char line[CLI_LINE], const cli_pace *pace, const cli_pace *around,
                       double time);

#endif
