/* cli/options.c: the parser behind every verb (cli/options.h). Every refusal is one sentence that
 * names the option, what was expected and what was found.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "report.h"

const cli_option cli_common_options[] = {
    {.name = "threads",
     .kind = CLI_NUMBER,
     .arg  = "N",
     .help = "use N threads, 1 to 1024; default: what the process may use (affinity, cgroup quota)",
     .at   = offsetof(cli_common, threads),
     .min  = 1,
     .max  = 1024},
    {.name = "max-memory",
     .kind = CLI_BYTES,
     .arg  = "BYTES",
     .help =
         "let the library allocate at most so much; K, M, G, T or KiB, MiB, GiB, TiB are powers "
         "of 1024; default: no limit",
     .at  = offsetof(cli_common, max_memory),
     .min = 1,
     .max = INT64_MAX},
    {.name = "device",
     .kind = CLI_TEXT,
     .arg  = "NAME",
     .help = "where kernels run: cpu, cuda (the first GPU), cuda:1 and so on; default: what "
             "FIL_DEVICE says, else cpu",
     .at   = offsetof(cli_common, device)},
    {.name = "max-vram",
     .kind = CLI_BYTES,
     .arg  = "BYTES",
     .help = "use at most so much of the device's memory; default: what is free there",
     .at   = offsetof(cli_common, max_vram),
     .min  = 1,
     .max  = INT64_MAX},
    {.name   = "verbose",
     .letter = 'v',
     .kind   = CLI_FLAG,
     .help   = "say more, and the library's log on stderr; twice: details too",
     .at     = offsetof(cli_common, verbose)},
    {.name   = "quiet",
     .letter = 'q',
     .kind   = CLI_FLAG,
     .help   = "say nothing on stderr but warnings and errors",
     .at     = offsetof(cli_common, quiet)},
    {.name   = "help",
     .letter = 'h',
     .kind   = CLI_FLAG,
     .help   = "print this help and end",
     .at     = offsetof(cli_common, help)},
    {.name   = "version",
     .letter = 'V',
     .kind   = CLI_FLAG,
     .help   = "print the version and end",
     .at     = offsetof(cli_common, version)},
};
const size_t cli_n_common_options = sizeof cli_common_options / sizeof cli_common_options[0];

enum { MAX_SETS = 4 };

typedef struct parser {
    const cli_option_set *sets;
    size_t                n_sets;
    const char           *verb;
    char                **argv;
    int                   n, i; /* i: the next word */
    uint64_t              seen[MAX_SETS];
    bool                  stop; /* --help or --version was met */
} parser;

/* An option and where its value goes. */
typedef struct place {
    const cli_option *option;
    void             *field;
    size_t            set, index;
} place;

static bool name_is(const char *name, const char *word, size_t bytes)
{
    return strlen(name) == bytes && memcmp(name, word, bytes) == 0;
}

/* By long name (`bytes` of word), or by letter if letter is not 0. */
static bool find(const parser *p, const char *word, size_t bytes, char letter, place *out)
{
    for (size_t s = 0; s < p->n_sets; s++)
        for (size_t k = 0; k < p->sets[s].n; k++) {
            const cli_option *o = &p->sets[s].options[k];
            if (letter != 0 ? o->letter != letter : !name_is(o->name, word, bytes)) continue;
            *out = (place){
                .option = o, .field = (char *)p->sets[s].values + o->at, .set = s, .index = k};
            return true;
        }
    return false;
}

/* True if a word is an option of ours, spelt out: then it is not meant as a value. */
static bool is_known_option(const parser *p, const char *word)
{
    place found;
    if (word[0] != '-' || word[1] == '\0') return false;
    if (word[1] != '-') return word[2] == '\0' && find(p, NULL, 0, word[1], &found);
    return word[2] != '\0' && find(p, word + 2, strcspn(word + 2, "="), 0, &found);
}

/* ---- values --------------------------------------------------------------------------------- */

/* Decimal digits only, no sign. False: no digit or over INT64_MAX. *end: first byte after them. */
static bool read_digits(const char *text, uint64_t *value, const char **end)
{
    uint64_t    v = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        const uint64_t digit = (uint64_t)(*p - '0');
        if (v > (INT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *value = v;
    *end   = p;
    return p != text;
}

static bool read_number(const char *text, int64_t *value)
{
    const bool  negative = text[0] == '-';
    const char *end;
    uint64_t    v;
    if (!read_digits(text + negative, &v, &end) || *end != '\0') return false;
    *value = negative ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool read_bytes(const char *text, int64_t *value)
{
    static const char *const suffix[][2] = {
        {"", "B"}, {"K", "KiB"}, {"M", "MiB"}, {"G", "GiB"}, {"T", "TiB"}};
    const char *end;
    uint64_t    v;
    if (!read_digits(text, &v, &end)) return false;
    for (size_t u = 0; u < sizeof suffix / sizeof suffix[0]; u++) {
        if (strcmp(end, suffix[u][0]) != 0 && strcmp(end, suffix[u][1]) != 0) continue;
        if (v > (uint64_t)INT64_MAX >> (10 * u)) return false;
        *value = (int64_t)(v << (10 * u));
        return true;
    }
    return false;
}

/* "0.15", ".15", "12": at most 16 digits. *end: first byte after them. */
static bool read_real(const char *text, double *value, const char **end)
{
    const char *p     = text;
    double      v     = 0.0;
    double      scale = 1.0;
    int         n     = 0;
    for (; *p >= '0' && *p <= '9' && n < 16; p++, n++)
        v = v * 10.0 + (*p - '0');
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9' && n < 16; p++, n++) {
            v = v * 10.0 + (*p - '0');
            scale *= 10.0;
        }
    *value = v / scale;
    *end   = p;
    return n > 0;
}

int cli_read_reals(const char *option, const char *text, double *values, int most)
{
    const char *p = text;
    for (int n = 0; n < most;) {
        if (!read_real(p, &values[n], &p)) break;
        n++;
        if (*p == '\0') return n;
        if (*p++ != ',') break;
    }
    (void)cli_usage("option --%s: expected up to %d numbers with commas between them, such as "
                    "1000,937.5, found '%.80s'",
                    option, most, text);
    return -1;
}

int cli_read_grid(const char *text, int32_t grid[3])
{
    const char *p = text;
    for (int i = 0; i < 3; i++) {
        const char *end;
        uint64_t    n;
        if (*p < '1' || *p > '9')
            return cli_usage("option --grid: expected F,H,W, found '%.80s'", text);
        if (!read_digits(p, &n, &end) || *end != (i < 2 ? ',' : '\0') || n > 65536)
            return cli_usage("option --grid: expected F,H,W of 1 to 65536, found '%.80s'", text);
        grid[i] = (int32_t)n;
        p       = end + 1;
    }
    return 0;
}

int cli_read_count(const char *option, const char *text, int32_t most, int32_t *value)
{
    const char *end;
    uint64_t    n;
    if (text == NULL) return 0;
    if (!read_digits(text, &n, &end) || *end != '\0' || n > (uint64_t)most)
        return cli_usage("option --%s: expected 0 to %d, found '%.80s'", option, (int)most, text);
    *value = (int32_t)n;
    return 0;
}

static int store_real(const cli_option *o, const char *text, void *field)
{
    const bool  share = o->kind == CLI_SHARE;
    const int   most  = share ? 1 : (int)o->max;
    const char *end   = text;
    double      v;
    if (!read_real(text, &v, &end) || *end != '\0' || !(v > 0.0 && v <= (double)most))
        return cli_usage("option --%s: expected a number above 0 and at most %d, such as %s, "
                         "found '%.80s'",
                         o->name, most, share ? "0.15" : "1.5", text);
    *(double *)field = v;
    return 0;
}

static int store_choice(const cli_option *o, const char *text, void *field)
{
    char   list[160] = "";
    size_t at        = 0;
    for (size_t i = 0; o->choices[i] != NULL && at < sizeof list; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *(const char **)field = o->choices[i];
            return 0;
        }
        const char *joint = i == 0 ? "" : o->choices[i + 1] == NULL ? " or " : ", ";
        const int   n     = snprintf(list + at, sizeof list - at, "%s%s", joint, o->choices[i]);
        at += n > 0 ? (size_t)n : 0;
    }
    return cli_usage("option --%s: expected %s, found '%.80s'", o->name, list, text);
}

static int store_number(const cli_option *o, const char *text, void *field)
{
    int64_t v;
    if (o->kind == CLI_NUMBER) {
        if (!read_number(text, &v) || v < o->min || v > o->max)
            return cli_usage(
                "option --%s: expected a whole number from %lld to %lld, found '%.80s'", o->name,
                (long long)o->min, (long long)o->max, text);
        *(int64_t *)field = v;
        return 0;
    }
    if (!read_bytes(text, &v) || v < o->min || v > o->max)
        return cli_usage("option --%s: expected a number of bytes from %lld on, with K, M, G, T, "
                         "KiB, MiB, GiB, TiB or nothing behind it, found '%.80s'",
                         o->name, (long long)o->min, text);
    *(uint64_t *)field = (uint64_t)v;
    return 0;
}

static int store(parser *p, const place *at, const char *text)
{
    const cli_option *o   = at->option;
    const uint64_t    bit = (uint64_t)1 << at->index;
    if (o->kind == CLI_FLAG) {
        int *count = at->field;
        if (*count < 16) (*count)++;
        p->stop = strcmp(o->name, "help") == 0 || strcmp(o->name, "version") == 0;
        return 0;
    }
    if ((p->seen[at->set] & bit) != 0)
        return cli_usage("option --%s: expected once, found again with '%.80s'", o->name, text);
    p->seen[at->set] |= bit;
    if (o->kind == CLI_SHARE || o->kind == CLI_REAL) return store_real(o, text, at->field);
    if (o->kind == CLI_CHOICE) return store_choice(o, text, at->field);
    if (o->kind != CLI_TEXT) return store_number(o, text, at->field);
    *(const char **)at->field = text;
    return 0;
}

/* The value is `attached` if that is not NULL, else the next word. */
static int take_value(parser *p, const place *at, const char *attached)
{
    const cli_option *o = at->option;
    if (o->kind == CLI_FLAG) return store(p, at, NULL);
    if (attached != NULL) return store(p, at, attached);
    if (p->i >= p->n)
        return cli_usage("option --%s: expected a value %s, found the end of the line", o->name,
                         o->arg);
    const char *next = p->argv[p->i];
    if (is_known_option(p, next))
        return cli_usage("option --%s: expected a value %s, found the option %.80s", o->name,
                         o->arg, next);
    p->i++;
    return store(p, at, next);
}

/* ---- words ---------------------------------------------------------------------------------- */

size_t cli_distance(const char *a, const char *b)
{
    enum { MOST = 32 };
    size_t       row[MOST + 1];
    const size_t na = strlen(a);
    const size_t nb = strlen(b);
    if (na > MOST || nb > MOST) return MOST;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0]; /* value of (i-1, j-1) */
        row[0]          = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j]   = best;
        }
    }
    return row[nb];
}

static int unknown_option(const parser *p, const char *word)
{
    const char *nearest = NULL;
    size_t      least   = 3; /* further away, a suggestion only confuses */
    for (size_t s = 0; s < p->n_sets && word[1] == '-'; s++)
        for (size_t k = 0; k < p->sets[s].n; k++) {
            const char  *name = p->sets[s].options[k].name;
            const size_t d    = cli_distance(word + 2, name);
            if (d >= least) continue;
            least   = d;
            nearest = name;
        }
    if (nearest != NULL)
        return cli_usage("unknown option '%.80s' of %s; the nearest is --%s", word, p->verb,
                         nearest);
    return cli_usage("unknown option '%.80s' of %s; expected one that 'filigree %s --help' lists",
                     word, p->verb, p->verb);
}

static int long_option(parser *p, const char *word)
{
    const size_t bytes = strcspn(word + 2, "=");
    const char  *value = word[2 + bytes] == '=' ? word + 2 + bytes + 1 : NULL;
    place        at;
    if (!find(p, word + 2, bytes, 0, &at)) return unknown_option(p, word);
    if (at.option->kind == CLI_FLAG && value != NULL)
        return cli_usage("option --%s: expected no value, found '%.80s'", at.option->name, value);
    return take_value(p, &at, value);
}

/* -x, -xvalue, -xyz for flags. */
static int short_options(parser *p, const char *word)
{
    for (const char *c = word + 1; *c != '\0' && !p->stop; c++) {
        place at;
        if (!find(p, NULL, 0, *c, &at)) return unknown_option(p, word);
        if (at.option->kind != CLI_FLAG) return take_value(p, &at, c[1] != '\0' ? c + 1 : NULL);
        const int code = take_value(p, &at, NULL);
        if (code != 0) return code;
    }
    return 0;
}

int cli_parse(const cli_option_set *sets, size_t n_sets, const char *verb, char **argv, int n,
              int *n_args)
{
    parser p       = {.sets = sets, .n_sets = n_sets, .verb = verb, .argv = argv, .n = n};
    bool   options = true;
    *n_args        = 0;
    while (p.i < n && !p.stop) {
        char *word = argv[p.i++];
        int   code = 0;
        if (options && strcmp(word, "--") == 0)
            options = false;
        else if (options && strncmp(word, "--", 2) == 0)
            code = long_option(&p, word);
        else if (options && word[0] == '-' && word[1] != '\0')
            code = short_options(&p, word);
        else
            argv[(*n_args)++] = word;
        if (code != 0) return code;
    }
    return 0;
}
