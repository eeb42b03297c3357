/* cli/progress.c: when something is said of a run, and where (cli/progress.h). */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "plan_report.h"
#include "progress.h"
#include "progress_line.h"
#include "report.h"

#define SILENT  2.0  /* seconds of a phase before it is worth a word */
#define REDRAW  0.1  /* from one redrawn line to the next */
#define PATIENT 60.0 /* without a line in a file, in a long unit */
#define EVENT   1.0  /* from one event of progress to the next */
#define LONG    10.0 /* seconds of a run before its length is told */

typedef enum { SAY_NOTHING, SAY_LINE, SAY_LINES } manner;

static const char wiped[] = "\r\033[K";

static struct {
    manner   how;
    bool     colour;
    cli_out *events; /* NULL: nobody wants them */
    cli_pace pace;   /* of the phase that runs */
    cli_pace around; /* of prompts, around those of their runs */
    double   begun;  /* the run */
    double   drawn;  /* the line */
    double   told;   /* the last plain line; begun where there was none */
    double   sent;   /* the last event of progress */
    int      tenth;  /* of the phase, in the last plain line; -1: it has had none */
    bool     slow;   /* a line has been said: the run is no quick one */

    volatile sig_atomic_t on_screen; /* the line */
} now;

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the terminal --------------------------------------------------------------------------- */

static bool is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) != 0 && term != NULL && term[0] != '\0' &&
           strcmp(term, "dumb") != 0;
}

static int columns(void)
{
    struct winsize size = {.ws_col = 0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

/* A job in the background leaves the line to the shell. */
static bool in_background(void)
{
    const pid_t group = tcgetpgrp(STDERR_FILENO);
    return group >= 0 && group != getpgrp();
}

/* One call: a signal finds the line whole or not there. Nobody can be told of a failure. */
static void put(const char *text, size_t bytes)
{
    const ssize_t n = write(STDERR_FILENO, text, bytes);
    (void)n;
}

void cli_progress_wipe_by_signal(void)
{
    if (now.on_screen != 0) put(wiped, sizeof wiped - 1);
}

void cli_progress_wipe(void)
{
    cli_progress_wipe_by_signal();
    now.on_screen = 0;
}

static void draw(double time)
{
    char line[CLI_LINE];
    char all[CLI_LINE + sizeof wiped];
    if (in_background()) return;
    (void)cli_progress_line(line, &now.pace, &now.around, time,
                            (cli_progress_look){.columns = columns(), .colour = now.colour});
    const int n   = snprintf(all, sizeof all, "\r%s\033[K", line);
    now.on_screen = 1;
    if (n > 0) put(all, (size_t)n);
    now.drawn = time;
}

/* ---- plain lines ---------------------------------------------------------------------------- */

static void say(double time)
{
    char line[CLI_LINE];
    cli_progress_text(line, &now.pace, &now.around, time);
    cli_error("%s", line);
    now.told  = time;
    now.tenth = (int)floor(10.0 * cli_pace_share(&now.pace));
    now.slow  = true;
}

/* The beginning and the end of a phase, each tenth of it, and a sign of life in between; nothing of
 * one that is over at once, however slow the ones before it were. */
static bool is_worth_a_line(cli_pace_news news, double time)
{
    const bool fresh = time - now.told >= SILENT;
    const bool slow  = time - now.pace.begun >= SILENT;
    if (news == CLI_PACE_PHASE && !cli_pace_ended(&now.pace)) return now.slow && fresh;
    if (cli_pace_ended(&now.pace)) return now.tenth >= 0 || slow;
    if (!fresh || !slow) return false;
    const int tenth = (int)floor(10.0 * cli_pace_share(&now.pace));
    return now.tenth < 0 || tenth > now.tenth || time - now.told >= PATIENT;
}

/* ---- events --------------------------------------------------------------------------------- */

static void send(void)
{
    cli_json_close(now.events);
    (void)fflush(now.events->stream);
}

static void put_left(double time)
{
    cli_json_real(now.events, "elapsed", time - now.pace.begun);
    cli_json_real(now.events, "left", cli_pace_left(&now.pace, time));
}

static void send_phase(const char *type, double time)
{
    cli_json_open(now.events, type);
    cli_json_text(now.events, "phase", now.pace.phase);
    cli_json_number(now.events, "done", now.pace.done);
    cli_json_number(now.events, "total", now.pace.total);
    if (strcmp(type, "phase_end") == 0) cli_json_real(now.events, "seconds", time - now.pace.begun);
    send();
}

static void send_step(double time)
{
    const cli_pace *p    = &now.pace;
    const int       last = p->last;
    const int       past = (last + CLI_PACE) % (CLI_PACE + 1);
    cli_json_open(now.events, "step");
    cli_json_number(now.events, "step", p->done);
    cli_json_number(now.events, "steps", p->total);
    cli_json_real(now.events, "seconds", p->at[last] - p->at[past]);
    put_left(time);
    send();
}

static void send_progress(double time)
{
    cli_json_open(now.events, "progress");
    cli_json_text(now.events, "phase", now.pace.phase);
    cli_json_number(now.events, "done", now.pace.done);
    cli_json_number(now.events, "total", now.pace.total);
    cli_json_real(now.events, "share", cli_pace_share(&now.pace));
    put_left(time);
    send();
    now.sent = time;
}

/* The next one of several videos begins. */
static void send_around(void)
{
    if (strcmp(now.around.phase, "videos") != 0 || cli_pace_ended(&now.around)) return;
    cli_json_open(now.events, "video");
    cli_json_number(now.events, "video", now.around.done + 1);
    cli_json_number(now.events, "videos", now.around.total);
    send();
}

static void tell_events(cli_pace_news news, double time)
{
    const bool steps = strcmp(now.pace.phase, "sample") == 0;
    if (news == CLI_PACE_PHASE)
        send_phase("phase", time);
    else if (news == CLI_PACE_UNIT && steps)
        send_step(time);
    else if (!cli_pace_ended(&now.pace) && time - now.sent >= EVENT)
        send_progress(time);
    if (cli_pace_ended(&now.pace)) send_phase("phase_end", time);
}

static void send_plan(const fil_event *event, int32_t videos)
{
    const fil_plan *p = event->plan;
    cli_json_open(now.events, "planned");
    if (videos > 0) cli_json_number(now.events, "videos", (uint64_t)videos);
    cli_json_number(now.events, "steps", (uint64_t)p->steps);
    cli_json_number(now.events, "done", (uint64_t)event->step);
    cli_json_real(now.events, "estimate_seconds", p->estimate_seconds);
    cli_json_number(now.events, "peak_bytes", p->peak_bytes);
    cli_json_number(now.events, "spool_bytes", p->spool_bytes);
    cli_json_number(now.events, "disk_bytes", p->disk_bytes);
    send();
}

/* What takes long is said before it begins. */
static void say_plan(const fil_event *event, int32_t videos)
{
    const fil_plan *p        = event->plan;
    char            what[32] = "";
    char            time[CLI_ABOUT];
    char            bytes[CLI_HUMAN];
    if (videos > 1)
        snprintf(what, sizeof what, " for %d videos", (int)videos);
    else if (event->step > 0)
        snprintf(what, sizeof what, " for what is left");
    cli_error("note: about %s%s, and %s of memory", cli_about(time, p->estimate_seconds), what,
              cli_human(bytes, p->peak_bytes));
}

void cli_progress_planned(const fil_event *event, int32_t videos)
{
    if (now.events != NULL) send_plan(event, videos);
    if (now.how != SAY_NOTHING && event->plan->estimate_seconds >= LONG) say_plan(event, videos);
}

void cli_progress_failed(int32_t video, const char *path, const fil_error *error)
{
    if (now.events == NULL) return;
    cli_json_open(now.events, "failed");
    cli_json_number(now.events, "video", (uint64_t)video);
    cli_json_text(now.events, "path", path);
    cli_json_failure(now.events, error);
    send();
}

void cli_progress_event(void *user, const fil_event *event)
{
    (void)user;
    if (event->kind == FIL_EVENT_PLANNED) cli_progress_planned(event, 0);
    if (now.events == NULL) return;
    switch (event->kind) {
    case FIL_EVENT_SAVED: cli_json_open(now.events, "saved"); break;
    case FIL_EVENT_PREVIEW: cli_json_open(now.events, "preview"); break;
    default: return; /* of a later version of the library */
    }
    cli_json_number(now.events, "step", (uint64_t)event->step);
    cli_json_number(now.events, "steps", (uint64_t)event->n_steps);
    cli_json_text(now.events, "path", event->path);
    send();
}

void cli_progress_warning(const char *text)
{
    if (now.events == NULL) return;
    cli_json_open(now.events, "warning");
    cli_json_text(now.events, "text", text);
    send();
}

void cli_progress_events(cli_out *out)
{
    now.events = out;
}

/* ---- what is told --------------------------------------------------------------------------- */

/* Where events go to the same terminal they are the display. */
void cli_progress_begin(int quiet)
{
    const char *no_colour = getenv("NO_COLOR");
    const bool  shared    = now.events != NULL && isatty(STDOUT_FILENO) != 0;
    now.how    = quiet != 0 || shared ? SAY_NOTHING : is_terminal() ? SAY_LINE : SAY_LINES;
    now.colour = no_colour == NULL || no_colour[0] == '\0';
    now.begun  = seconds();
    now.told   = now.begun;
    now.sent   = now.begun;
    now.tenth  = -1;
}

/* Of what comes before a run and is over at once: no word of it. */
static bool is_no_phase(const char *phase)
{
    return strcmp(phase, "open") == 0;
}

static bool stands_around(const char *phase)
{
    return strcmp(phase, "calibrate") == 0 || strcmp(phase, "videos") == 0;
}

static void show(cli_pace_news news, double time)
{
    const bool ended = cli_pace_ended(&now.pace);
    if (now.how == SAY_LINE && ended && time - now.pace.begun >= SILENT)
        say(time);
    else if (now.how == SAY_LINE && ended)
        cli_progress_wipe();
    else if (now.how == SAY_LINE && time - now.begun >= REDRAW && time - now.drawn >= REDRAW)
        draw(time);
    else if (now.how == SAY_LINES && is_worth_a_line(news, time))
        say(time);
}

void cli_progress_told(void *user, const fil_progress *progress)
{
    const double time = seconds();
    (void)user;
    if (is_no_phase(progress->phase)) return;
    if (stands_around(progress->phase)) {
        (void)cli_pace_take(&now.around, progress, time);
        if (now.events != NULL) send_around();
        if (cli_pace_ended(&now.around)) now.around.phase = NULL;
        return;
    }
    const cli_pace_news news = cli_pace_take(&now.pace, progress, time);
    if (news == CLI_PACE_PHASE) now.tenth = -1;
    if (now.events != NULL) tell_events(news, time);
    show(news, time);
}
