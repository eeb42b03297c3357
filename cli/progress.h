/* cli/progress.h: how far a run is, for people and for programs.
 *
 * Where stderr is a terminal: one line that is redrawn in place, never wider than the terminal, and
 * wiped before anything else is said there. Else plain lines, few of them. What is over within two
 * seconds says nothing. With events: JSON objects on stdout as things happen (the man page lists
 * them), one a line. One run at a time: the state is the program's, since a signal must reach it.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "filigree/video.h"
#include "output.h"

/* Before a context is opened: what happens is told as JSON to `out` too. */
void cli_progress_events(cli_out *out);

/* A run begins. quiet: nothing of it goes to stderr. */
void cli_progress_begin(int quiet);

/* A fil_progress_fn and a fil_event_fn; user is not looked at. */
void cli_progress_told(void *user, const fil_progress *progress);
void cli_progress_event(void *user, const fil_event *event);

/* A warning goes to the events, if there are any. */
void cli_progress_warning(const char *text);

/* Of a list of videos: what is before it (FIL_EVENT_PLANNED), and that nothing came of one. video:
 * its number among those that are to be made; path: what was to come of it. */
void cli_progress_planned(const fil_event *event, int32_t videos);
void cli_progress_failed(int32_t video, const char *path, const fil_error *error);

/* Leaves the terminal's line empty, with the cursor at its beginning. The first before each line on
 * stderr and at the end; the second from a signal handler. */
void cli_progress_wipe(void);
void cli_progress_wipe_by_signal(void);

#endif
