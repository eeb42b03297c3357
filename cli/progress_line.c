/* cli/progress_line.c: the words of a line (cli/progress_line.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "progress_line.h"

enum { BAR = 20 };

/* In the order of the line. */
enum { AROUND, WHERE, WITHIN, BAR_PIECE, SHARE, EACH, SO_FAR, LEFT, PIECES };

typedef struct piece {
    char text[64];
} piece;

/* Steps are named, for people count them from 1 while they run. */
static bool has_steps(const cli_pace *p)
{
    return strcmp(p->phase, "sample") == 0;
}

static void write_where(piece *out, const cli_pace *p)
{
    const bool     steps = has_steps(p) && p->done < p->total;
    const uint64_t shown = p->done + (steps ? 1 : 0);
    if (p->total == 0)
        snprintf(out->text, sizeof out->text, "%.20s %llu", p->phase, (unsigned long long)p->done);
    else
        snprintf(out->text, sizeof out->text, "%.20s %s%llu/%llu", p->phase, steps ? "step " : "",
                 (unsigned long long)shown, (unsigned long long)p->total);
}

static int percent(double share)
{
    return (int)floor(100.0 * share);
}

static void write_bar(piece *out, double share)
{
    const int full = (int)floor(share * BAR);
    char     *to   = out->text;
    *to++          = '[';
    for (int i = 0; i < BAR; i++)
        *to++ = i < full ? '=' : i == full ? '>' : ' ';
    *to++ = ']';
    *to   = '\0';
}

static void write_each(piece *out, double each)
{
    if (isfinite(each)) snprintf(out->text, sizeof out->text, "%.3g s each", each);
}

static void write_pieces(piece out[PIECES], const cli_pace *p, const cli_pace *around, double time)
{
    char         clock[CLI_CLOCK];
    const double left = cli_pace_left(p, time);
    memset(out, 0, PIECES * sizeof *out);
    if (around->phase != NULL && around->done < around->total)
        snprintf(out[AROUND].text, sizeof out[AROUND].text, "[%llu/%llu]",
                 (unsigned long long)around->done + 1, (unsigned long long)around->total);
    write_where(&out[WHERE], p);
    if (p->parts > 0 && p->part <= p->parts)
        snprintf(out[WITHIN].text, sizeof out[WITHIN].text, "%d %%",
                 percent((double)p->part / (double)p->parts));
    snprintf(out[SO_FAR].text, sizeof out[SO_FAR].text, "%s", cli_clock(clock, time - p->begun));
    write_each(&out[EACH], cli_pace_each(p, time));
    if (isfinite(left) && !cli_pace_ended(p))
        snprintf(out[LEFT].text, sizeof out[LEFT].text, "left %s", cli_clock(clock, left));
    if (p->total == 0) return;
    write_bar(&out[BAR_PIECE], cli_pace_share(p));
    snprintf(out[SHARE].text, sizeof out[SHARE].text, "%d %%", percent(cli_pace_share(p)));
}

static const char *joint_of(int i)
{
    return i == AROUND || i == SHARE || i == WHERE ? " " : i == WITHIN ? ", " : "  ";
}

static int width_of(const piece pieces[PIECES])
{
    int width = 0;
    for (int i = 0; i < PIECES; i++)
        if (pieces[i].text[0] != '\0')
            width += (int)strlen(pieces[i].text) + (width > 0 ? (int)strlen(joint_of(i)) : 0);
    return width;
}

/* The share of the step goes before the bar: without a bar between them, nobody can tell it from
 * the share of the phase. */
static void drop_until_it_fits(piece pieces[PIECES], int most)
{
    static const int order[] = {SO_FAR, WITHIN, BAR_PIECE, EACH, SHARE, AROUND, LEFT};
    for (size_t k = 0; k < sizeof order / sizeof order[0] && width_of(pieces) > most; k++)
        pieces[order[k]].text[0] = '\0';
    if (width_of(pieces) > most) pieces[WHERE].text[most > 0 ? most : 0] = '\0';
}

static void append(char line[CLI_LINE], const char *text)
{
    const size_t used = strlen(line);
    snprintf(line + used, CLI_LINE - used, "%s", text);
}

static const char *colour_of(int i)
{
    return i == WHERE ? "\033[1m" : i == BAR_PIECE ? "\033[32m" : NULL;
}

int cli_progress_line(char line[CLI_LINE], const cli_pace *pace, const cli_pace *around,
                      double time, cli_progress_look look)
{
    piece pieces[PIECES];
    write_pieces(pieces, pace, around, time);
    drop_until_it_fits(pieces, look.columns - 1);
    line[0] = '\0';
    for (int i = 0; i < PIECES; i++) {
        const char *colour = look.colour ? colour_of(i) : NULL;
        if (pieces[i].text[0] == '\0') continue;
        if (line[0] != '\0') append(line, joint_of(i));
        if (colour != NULL) append(line, colour);
        append(line, pieces[i].text);
        if (colour != NULL) append(line, "\033[0m");
    }
    return width_of(pieces);
}

void cli_progress_text(char line[CLI_LINE], const cli_pace *pace, const cli_pace *around,
                       double time)
{
    char  clock[CLI_CLOCK];
    piece p[PIECES];
    write_pieces(p, pace, around, time);
    line[0] = '\0';
    if (p[AROUND].text[0] != '\0') {
        append(line, p[AROUND].text);
        append(line, " ");
    }
    append(line, pace->phase);
    if (cli_pace_ended(pace)) {
        append(line, " ended after ");
        append(line, cli_clock(clock, time - pace->begun));
    } else if (pace->done == pace->first && pace->part == 0) {
        append(line, " begins");
        return;
    } else {
        write_where(&p[WHERE], pace);
        append(line, strchr(p[WHERE].text, ' '));
    }
    if (!cli_pace_ended(pace) && p[WITHIN].text[0] != '\0') {
        append(line, ", ");
        append(line, p[WITHIN].text);
    }
    for (int i = EACH; i <= LEFT; i++) {
        if (p[i].text[0] == '\0' || (i == SO_FAR && cli_pace_ended(pace))) continue;
        append(line, ", ");
        append(line, p[i].text);
        if (i == SO_FAR) append(line, " so far");
    }
}
