/* tests/unit/test_progress_line.c: how long units take, and the line that tells of it (cli/pace.h,
 * cli/progress_line.h), which needs no terminal.
 */
#include <math.h>
#include <string.h>

#include "cli/progress_line.h"
#include "support/cmocka_all.h"

static cli_pace_news take(cli_pace *p, const char *phase, uint64_t done, uint64_t total,
                          double time)
{
    const fil_progress told = {.phase = phase, .done = done, .total = total};
    return cli_pace_take(p, &told, time);
}

static void take_part(cli_pace *p, uint64_t part, uint64_t parts, double time)
{
    const fil_progress told = {
        .phase = p->phase, .done = p->done, .total = p->total, .part = part, .parts = parts};
    assert_int_equal(cli_pace_take(p, &told, time), CLI_PACE_PART);
}

/* ---- pace ----------------------------------------------------------------------------------- */

static void nothing_is_known_before_a_unit_or_a_part_is_done(void **state)
{
    cli_pace p = {.phase = NULL};
    (void)state;
    assert_int_equal(take(&p, "sample", 0, 10, 5.0), CLI_PACE_PHASE);
    assert_true(isnan(cli_pace_each(&p, 9.0)));
    assert_true(isnan(cli_pace_left(&p, 9.0)));
    take_part(&p, 1, 4, 7.0);
    assert_true(cli_pace_each(&p, 7.0) == 8.0);
    assert_true(cli_pace_left(&p, 7.0) == 8.0 * 9.75);
    assert_true(cli_pace_share(&p) == 0.025);
}

static void the_last_eight_units_count(void **state)
{
    cli_pace p    = {.phase = NULL};
    double   time = 0.0;
    (void)state;
    take(&p, "sample", 0, 100, time);
    for (uint64_t i = 1; i <= 20; i++)
        assert_int_equal(take(&p, "sample", i, 100, time += i <= 12 ? 50.0 : 2.0), CLI_PACE_UNIT);
    assert_true(cli_pace_each(&p, time) == 2.0);
    assert_true(cli_pace_left(&p, time + 1.0) == 159.0);   /* a second of the next one is over */
    assert_true(cli_pace_left(&p, time + 100.0) == 158.0); /* no more than all of it */
}

static void a_run_that_goes_on_counts_its_own_steps(void **state)
{
    cli_pace p = {.phase = NULL};
    (void)state;
    take(&p, "sample", 40, 50, 100.0);
    take(&p, "sample", 42, 50, 106.0);
    assert_true(cli_pace_each(&p, 106.0) == 3.0);
    assert_true(cli_pace_left(&p, 106.0) == 24.0);
    assert_int_equal(p.first, 40);
}

static void a_phase_that_comes_again_begins_anew(void **state)
{
    cli_pace p = {.phase = NULL};
    (void)state;
    take(&p, "encode", 0, 2, 0.0);
    take(&p, "encode", 2, 2, 1.0);
    assert_true(cli_pace_ended(&p));
    assert_true(cli_pace_left(&p, 2.0) == 0.0);
    assert_int_equal(take(&p, "encode", 0, 2, 3.0), CLI_PACE_PHASE);
    assert_true(p.begun == 3.0);
    assert_int_equal(take(&p, "load", 0, 2, 4.0), CLI_PACE_PHASE);
}

static void clocks(void **state)
{
    static const struct {
        double      seconds;
        const char *text;
    } c[] = {{0.0, "0:00"},    {42.4, "0:42"},          {59.6, "1:00"},
             {725.0, "12:05"}, {3599.7, "1:00:00"},     {11229.0, "3:07:09"},
             {-5.0, "0:00"},   {360000.0, "100:00:00"}, {1e30, "277777:46:40"}};
    char text[CLI_CLOCK];
    (void)state;
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++)
        assert_string_equal(cli_clock(text, c[i].seconds), c[i].text);
    assert_string_equal(cli_clock(text, (double)NAN), "0:00");
}

/* ---- lines ---------------------------------------------------------------------------------- */

static const cli_pace nothing = {.phase = NULL};

static cli_pace some_steps(void)
{
    cli_pace p = {.phase = NULL};
    take(&p, "sample", 0, 50, 0.0);
    for (uint64_t i = 1; i <= 12; i++)
        take(&p, "sample", i, 50, 23.5 * (double)i);
    take_part(&p, 26, 60, 23.5 * 12.5);
    return p;
}

static void a_wide_line_says_all(void **state)
{
    char           line[CLI_LINE];
    const cli_pace p = some_steps();
    (void)state;
    const int n = cli_progress_line(line, &p, &nothing, 293.75, (cli_progress_look){120, false});
    assert_string_equal(line, "sample step 13/50, 43 %  [====>               ] 24 %  23.5 s each  "
                              "4:54  left 14:43");
    assert_int_equal(n, strlen(line));
}

static void prompts_stand_before_it(void **state)
{
    char           line[CLI_LINE];
    const cli_pace p      = some_steps();
    cli_pace       around = {.phase = NULL};
    (void)state;
    take(&around, "videos", 1, 5, 0.0);
    (void)cli_progress_line(line, &p, &around, 293.75, (cli_progress_look){120, false});
    assert_int_equal(strncmp(line, "[2/5] sample step 13/50, ", 25), 0);
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    char           line[CLI_LINE];
    const cli_pace p      = some_steps();
    cli_pace       around = {.phase = NULL};
    (void)state;
    take(&around, "videos", 1, 5, 0.0);
    for (int columns = 1; columns < 200; columns++) {
        const int n =
            cli_progress_line(line, &p, &around, 293.75, (cli_progress_look){columns, false});
        assert_int_equal(n, strlen(line));
        assert_true(n < columns);
        if (columns > 17) assert_non_null(strstr(line, "sample step 13/50"));
        if (columns > 30) assert_non_null(strstr(line, "left 14:43"));
    }
}

static int count_of(const char *line, char c)
{
    int n = 0;
    for (; *line != '\0'; line++)
        n += *line == c;
    return n;
}

/* That of the step and that of the phase. */
static void two_shares_have_the_bar_between_them(void **state)
{
    char           line[CLI_LINE];
    const cli_pace p      = some_steps();
    cli_pace       around = {.phase = NULL};
    int            twice  = 0;
    (void)state;
    take(&around, "videos", 1, 5, 0.0);
    for (int columns = 1; columns < 200; columns++) {
        (void)cli_progress_line(line, &p, &around, 293.75, (cli_progress_look){columns, false});
        const char *bar = strstr(line, "[==");
        const char *end = bar != NULL ? strchr(bar, ']') : NULL;
        assert_int_equal(bar != NULL, end != NULL);
        assert_true(count_of(line, '%') <= (bar != NULL ? 2 : 1));
        twice += count_of(line, '%') == 2;
    }
    assert_true(twice > 0);
    (void)cli_progress_line(line, &p, &nothing, 293.75, (cli_progress_look){80, false});
    assert_string_equal(line, "sample step 13/50, 43 %  [====>               ] 24 %  23.5 s each  "
                              "left 14:43");
    (void)cli_progress_line(line, &p, &nothing, 293.75, (cli_progress_look){60, false});
    assert_string_equal(line, "sample step 13/50 24 %  23.5 s each  left 14:43");
}

static void colour_adds_escapes_and_no_columns(void **state)
{
    char           plain[CLI_LINE];
    char           line[CLI_LINE];
    const cli_pace p    = some_steps();
    size_t         kept = 0;
    (void)state;
    const int a = cli_progress_line(plain, &p, &nothing, 293.75, (cli_progress_look){80, false});
    const int b = cli_progress_line(line, &p, &nothing, 293.75, (cli_progress_look){80, true});
    assert_int_equal(a, b);
    assert_null(strchr(plain, '\033'));
    assert_non_null(strchr(line, '\033'));
    for (const char *c = line; *c != '\0'; c++) {
        if (*c == '\033')
            c = strchr(c, 'm');
        else
            line[kept++] = *c;
    }
    line[kept] = '\0';
    assert_string_equal(line, plain);
}

static void a_file_gets_sentences(void **state)
{
    char     line[CLI_LINE];
    cli_pace p = {.phase = NULL};
    (void)state;
    take(&p, "load", 0, 40, 1.0);
    cli_progress_text(line, &p, &nothing, 1.0);
    assert_string_equal(line, "load begins");
    take(&p, "load", 10, 40, 21.0);
    cli_progress_text(line, &p, &nothing, 21.0);
    assert_string_equal(line, "load 10/40, 2 s each, 0:20 so far, left 1:00");
    take(&p, "load", 40, 40, 81.0);
    cli_progress_text(line, &p, &nothing, 81.0);
    assert_string_equal(line, "load ended after 1:20, 2 s each");
    p = some_steps();
    cli_progress_text(line, &p, &nothing, 293.75);
    assert_string_equal(line, "sample step 13/50, 43 %, 23.5 s each, 4:54 so far, left 14:43");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_known_before_a_unit_or_a_part_is_done),
        cmocka_unit_test(the_last_eight_units_count),
        cmocka_unit_test(a_run_that_goes_on_counts_its_own_steps),
        cmocka_unit_test(a_phase_that_comes_again_begins_anew),
        cmocka_unit_test(clocks),
        cmocka_unit_test(a_wide_line_says_all),
        cmocka_unit_test(prompts_stand_before_it),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(two_shares_have_the_bar_between_them),
        cmocka_unit_test(colour_adds_escapes_and_no_columns),
        cmocka_unit_test(a_file_gets_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
