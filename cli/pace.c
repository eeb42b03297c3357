/* cli/pace.c: how long units of work take (cli/pace.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "pace.h"

static void push(cli_pace *p, uint64_t done, double time)
{
    p->last           = p->n == 0 ? 0 : (p->last + 1) % (CLI_PACE + 1);
    p->at[p->last]    = time;
    p->count[p->last] = done;
    if (p->n < CLI_PACE + 1) p->n++;
}

static bool is_new(const cli_pace *p, const fil_progress *told)
{
    return p->phase == NULL || strcmp(p->phase, told->phase) != 0 || told->done < p->done ||
           told->total != p->total || cli_pace_ended(p);
}

cli_pace_news cli_pace_take(cli_pace *pace, const fil_progress *told, double time)
{
    cli_pace_news news = told->done > pace->done ? CLI_PACE_UNIT : CLI_PACE_PART;
    if (is_new(pace, told)) {
        *pace = (cli_pace){
            .phase = told->phase, .first = told->done, .total = told->total, .begun = time};
        push(pace, told->done, time);
        news = CLI_PACE_PHASE;
    } else if (news == CLI_PACE_UNIT) {
        push(pace, told->done, time);
    }
    pace->done  = told->done;
    pace->part  = told->part;
    pace->parts = told->parts;
    return news;
}

bool cli_pace_ended(const cli_pace *pace)
{
    return pace->total > 0 && pace->done >= pace->total;
}

static double part_of_unit(const cli_pace *p)
{
    return p->parts > 0 && p->part <= p->parts ? (double)p->part / (double)p->parts : 0.0;
}

double cli_pace_each(const cli_pace *pace, double time)
{
    const int    oldest = (pace->last + 1) % (CLI_PACE + 1);
    const int    from   = pace->n > CLI_PACE ? oldest : 0;
    const double part   = part_of_unit(pace);
    if (pace->n > 1)
        return (pace->at[pace->last] - pace->at[from]) /
               (double)(pace->count[pace->last] - pace->count[from]);
    return pace->n == 1 && part > 0.0 ? (time - pace->begun) / part : (double)NAN;
}

double cli_pace_left(const cli_pace *pace, double time)
{
    const double each  = cli_pace_each(pace, time);
    const double since = time - pace->at[pace->last];
    double       left  = each * ((double)(pace->total - pace->done) - part_of_unit(pace));
    if (cli_pace_ended(pace)) return 0.0;
    if (pace->parts == 0) left -= fmin(since, each); /* of the unit that runs */
    return isnan(left) ? (double)NAN : fmax(left, 0.0);
}

double cli_pace_share(const cli_pace *pace)
{
    if (pace->total == 0) return 0.0;
    return fmin(((double)pace->done + part_of_unit(pace)) / (double)pace->total, 1.0);
}

const char *cli_clock(char *text, double seconds)
{
    const double s = fmin(fmax(floor(seconds + 0.5), 0.0), 1e9); /* NaN becomes 0 */
    const long   n = (long)s;
    if (n < 3600)
        snprintf(text, CLI_CLOCK, "%ld:%02ld", n / 60, n % 60);
    else
        snprintf(text, CLI_CLOCK, "%ld:%02ld:%02ld", n / 3600, n / 60 % 60, n % 60);
    return text;
}
