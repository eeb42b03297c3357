/* tests/soak/soak.c: mixed work in one process, for hours: does anything grow, crash or go wrong?
 *
 *     soak MODEL SCRATCH SECONDS [SEED]
 *
 * MODEL: a small model's folder (make_demo writes one); SCRATCH: a folder that exists. Runs of
 * every policy that needs no file, of random sizes and outputs; runs that are cancelled at a random
 * moment and resumed, which must give the bits of one that was not; decoding, encoding, converting,
 * calibrating; and requests that must be refused with a sentence. After each: the library holds
 * what it held before. Every minute a line with the counts, the bytes in use on the heap, resident
 * memory and open files. Exit 1: a status that was not expected, other bits, a leak, or, of ten
 * minutes and more, resident memory that grew by more than 1 % and a MiB from the second quarter of
 * the time to the last: the first is for what libraries open once and keep.
 */
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "filigree/calibrate.h"
#include "filigree/convert.h"
#include "filigree/video.h"

typedef struct soak {
    const char *dir, *scratch;
    uint64_t    random;
    fil_ctx    *ctx;
    fil_model  *model;
    int64_t     cancel_in; /* questions; negative = never */
    uint64_t    rounds, refused, cancelled;
} soak;

static uint64_t draw(soak *s, uint64_t below)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (s->random >> 33) % below;
}

static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const soak *s, const char *what)
{
    fprintf(stderr, "soak: round %llu: %s: %s\n", (unsigned long long)s->rounds, what,
            s->ctx != NULL ? fil_ctx_error(s->ctx)->message : "");
    exit(1);
}

static void expect(const soak *s, fil_status wanted, fil_status found, const char *what)
{
    char text[160];
    if (found == wanted) return;
    snprintf(text, sizeof text, "%s: %s, expected %s", what, fil_status_name(found),
             fil_status_name(wanted));
    die(s, text);
}

/* ---- files ---------------------------------------------------------------------------------- */

typedef struct path {
    char text[512];
} path;

static path in_scratch(const soak *s, const char *name)
{
    path p;
    snprintf(p.text, sizeof p.text, "%s/%s", s->scratch, name);
    return p;
}

static void empty_scratch(const soak *s)
{
    DIR *d = opendir(s->scratch);
    if (d == NULL) die(s, "the scratch folder cannot be opened");
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)remove(in_scratch(s, e->d_name).text);
    (void)closedir(d);
}

static int same_bytes(const char *a, const char *b)
{
    FILE *f    = fopen(a, "rb");
    FILE *g    = fopen(b, "rb");
    int   same = f != NULL && g != NULL;
    int   c    = 0;
    while (same && c != EOF) {
        c    = getc(f);
        same = c == getc(g);
    }
    if (f != NULL) (void)fclose(f);
    if (g != NULL) (void)fclose(g);
    return same;
}

/* ---- requests ------------------------------------------------------------------------------- */

typedef struct request {
    fil_generate_options o;
    fil_policy_options   policy;
    path                 video, latents, checkpoint, preview;
} request;

/* Any policy but those that want a file. */
static const char *any_policy(soak *s)
{
    fil_policy_info info;
    do {
        fil_policy_get((int32_t)draw(s, (uint64_t)fil_policies()), &info);
    } while (strcmp(info.name, "west") == 0 || strcmp(info.name, "mask") == 0);
    return info.name;
}

static void any_request(soak *s, request *r)
{
    static const char *const prompts[]  = {"a red fox", "", "waves at night, \xe6\xb5\xb7", "x"};
    static const char *const videos[]   = {"v.mp4", "v.webm", "v.webp", "v.y4m", "v-%03d.png"};
    static const char *const samplers[] = {NULL, "unipc", "dpmpp", "euler"};
    fil_generate_options_init(&r->o);
    fil_policy_options_init(&r->policy);
    r->policy.name    = any_policy(s);
    r->policy.density = strcmp(r->policy.name, "dense") == 0 ? 1.0 : 0.4 + 0.1 * (double)draw(s, 6);
    r->policy.fallback = 1;
    r->video           = in_scratch(s, videos[draw(s, 5)]);
    r->latents         = in_scratch(s, "latents.safetensors");
    r->checkpoint      = in_scratch(s, "run.resume");
    r->preview         = in_scratch(s, "preview.png");
    r->o.prompt        = prompts[draw(s, 4)];
    r->o.width         = 32 * (1 + (int32_t)draw(s, 4));
    r->o.height        = 32 * (1 + (int32_t)draw(s, 4));
    r->o.frames        = 1 + 4 * (int32_t)draw(s, 4);
    r->o.steps         = 2 + (int32_t)draw(s, 4);
    r->o.guidance      = draw(s, 4) == 0 ? 1.0 : 5.0;
    r->o.sampler       = samplers[draw(s, 4)];
    r->o.seed          = draw(s, 1000);
    r->o.precision     = draw(s, 4) == 0 ? FIL_F32 : FIL_BF16;
    r->o.policy        = &r->policy;
    r->o.video         = draw(s, 3) == 0 ? NULL : r->video.text;
    r->o.save_latents  = r->latents.text;
    r->o.replace       = 1;
    if (draw(s, 4) == 0) {
        r->o.preview       = r->preview.text;
        r->o.preview_steps = 1;
    }
    if (draw(s, 4) == 0) r->o.stream_weights = 1;
    if (draw(s, 4) == 0) r->o.vae_tiles = 1;
}

/* ---- what is done --------------------------------------------------------------------------- */

static void render(soak *s)
{
    request r;
    any_request(s, &r);
    expect(s, FIL_OK, fil_generate(s->model, &r.o, NULL), r.policy.name);
}

/* Stopped somewhere, more than once, and gone on with. What `auto` does depends on its clock. */
static void stop_and_resume(soak *s)
{
    const path whole = in_scratch(s, "whole.safetensors");
    request    r;
    do {
        any_request(s, &r);
    } while (strcmp(r.policy.name, "auto") == 0);
    r.o.video        = NULL;
    r.o.save_latents = whole.text;
    expect(s, FIL_OK, fil_generate(s->model, &r.o, NULL), r.policy.name);
    r.o.save_latents     = r.latents.text;
    r.o.checkpoint       = r.checkpoint.text;
    r.o.checkpoint_steps = 1;
    for (int stops = 0;; stops++) {
        s->cancel_in            = stops < 3 ? (int64_t)draw(s, 200) : -1;
        const fil_status status = fil_generate(s->model, &r.o, NULL);
        s->cancel_in            = -1;
        if (status == FIL_OK) break;
        expect(s, FIL_E_CANCELLED, status, "a run that is stopped");
        s->cancelled++;
        r.o.resume = access(r.checkpoint.text, R_OK) == 0 ? r.checkpoint.text : NULL;
    }
    if (!same_bytes(whole.text, r.latents.text)) die(s, "a resumed run has other bits");
}

static void decode_and_encode(soak *s)
{
    const path         again = in_scratch(s, "again.safetensors");
    const path         video = in_scratch(s, "decoded.y4m");
    fil_decode_options d;
    fil_encode_options e;
    request            r;
    any_request(s, &r);
    r.o.video = NULL;
    expect(s, FIL_OK, fil_generate(s->model, &r.o, NULL), r.policy.name);
    fil_decode_options_init(&d);
    d.latents = r.latents.text;
    d.video   = video.text;
    d.replace = 1;
    expect(s, FIL_OK, fil_decode(s->model, &d, NULL), "decode");
    fil_encode_options_init(&e);
    e.input   = video.text;
    e.latents = again.text;
    e.replace = 1;
    expect(s, FIL_OK, fil_encode(s->model, &e, NULL), "encode");
}

/* The transformer in Q8_0, and a run with it. */
static void convert(soak *s)
{
    const path          out = in_scratch(s, "dit.gguf");
    char                source[512];
    const char         *input = source;
    fil_convert_options c;
    fil_model_options   m;
    fil_model          *model = NULL;
    request             r;
    snprintf(source, sizeof source, "%s/diffusion_pytorch_model.safetensors.index.json", s->dir);
    fil_convert_options_init(&c);
    c.inputs   = &input;
    c.n_inputs = 1;
    c.output   = out.text;
    c.type     = FIL_Q8_0;
    c.replace  = 1;
    expect(s, FIL_OK, fil_convert(s->ctx, &c, NULL), "convert");
    fil_model_options_init(&m);
    m.dir = s->dir;
    m.dit = out.text;
    expect(s, FIL_OK, fil_model_open(s->ctx, &m, &model), "a model with a GGUF");
    any_request(s, &r);
    expect(s, FIL_OK, fil_generate(model, &r.o, NULL), "a run with a GGUF");
    fil_model_close(&model);
}

static void calibrate(soak *s)
{
    const path            prompts = in_scratch(s, "prompts.txt");
    const path            out     = in_scratch(s, "topology.safetensors");
    FILE                 *f       = fopen(prompts.text, "w");
    fil_generate_options  run;
    fil_calibrate_options c;
    if (f == NULL || fputs("a fox\na ball\n", f) == EOF || fclose(f) != 0)
        die(s, "prompts cannot be written");
    fil_generate_options_init(&run);
    run.width  = 64;
    run.height = 64;
    run.frames = 5;
    run.steps  = 2;
    fil_calibrate_options_init(&c);
    c.run         = &run;
    c.prompt_file = prompts.text;
    c.output      = out.text;
    c.replace     = 1;
    expect(s, FIL_OK, fil_calibrate(s->model, &c, NULL), "calibrate");
}

static fil_status open_torn(soak *s)
{
    const path torn = in_scratch(s, "torn.safetensors");
    fil_file  *file = NULL;
    FILE      *f    = fopen(torn.text, "w");
    if (f == NULL || fputs("\x40 is no header", f) == EOF || fclose(f) != 0)
        die(s, "a torn file cannot be written");
    const fil_status status = fil_file_open(s->ctx, torn.text, 0, &file);
    fil_file_close(&file);
    return status;
}

static fil_status open_nowhere(soak *s)
{
    fil_model_options m;
    fil_model        *model = NULL;
    fil_model_options_init(&m);
    m.dir                   = "/nowhere";
    const fil_status status = fil_model_open(s->ctx, &m, &model);
    fil_model_close(&model);
    return status;
}

/* Each is refused, with a sentence. */
static void refuse(soak *s)
{
    const path gone  = in_scratch(s, "not.there");
    const int  which = (int)draw(s, 8);
    request    r;
    any_request(s, &r);
    switch (which) {
    case 0: r.o.width = 33; break;
    case 1: r.o.steps = 0; break;
    case 2: r.o.sampler = "none"; break;
    case 3: r.o.video = "/nowhere/at/all.mp4"; break;
    case 4: r.policy.density = 1.5; break;
    case 5: r.o.resume = gone.text; break;
    default: break;
    }
    const fil_status status = which == 6   ? open_torn(s)
                              : which == 7 ? open_nowhere(s)
                                           : fil_generate(s->model, &r.o, NULL);
    if (status == FIL_OK) die(s, "what is wrong was not refused");
    if (fil_ctx_error(s->ctx)->message[0] == '\0') die(s, "a refusal without a sentence");
    s->refused++;
}

/* ---- what is watched ------------------------------------------------------------------------ */

static long resident_kib(void)
{
    long  total;
    long  pages = -1;
    FILE *f     = fopen("/proc/self/statm", "r");
    if (f == NULL) return -1;
    if (fscanf(f, "%ld %ld", &total, &pages) != 2) pages = -1;
    (void)fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int open_files(void)
{
    int  n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL) return -1;
    while (readdir(d) != NULL)
        n++;
    (void)closedir(d);
    return n;
}

static void tell(const soak *s, double seconds)
{
    printf("%7.0f s  %6llu rounds  %5llu refused  %5llu cancelled  heap %8zu B  resident %7ld KiB  "
           "files %d\n",
           seconds, (unsigned long long)s->rounds, (unsigned long long)s->refused,
           (unsigned long long)s->cancelled, mallinfo2().uordblks, resident_kib(), open_files());
    (void)fflush(stdout);
}

static int cancel(void *user)
{
    soak *s = user;
    return s->cancel_in >= 0 && s->cancel_in-- == 0;
}

static void one_round(soak *s)
{
    static void (*const work[])(soak *) = {render, stop_and_resume, decode_and_encode,
                                           refuse, convert,         calibrate};
    static const unsigned share[]       = {30, 55, 70, 90, 95, 100};
    const uint64_t        used          = fil_ctx_memory(s->ctx).used;
    const uint64_t        n             = draw(s, 100);
    int                   which         = 0;
    while (n >= share[which])
        which++;
    work[which](s);
    s->rounds++;
    if (fil_ctx_memory(s->ctx).used != used) die(s, "the library holds more than before");
    empty_scratch(s);
}

static void open_all(soak *s)
{
    fil_model_options m;
    fil_options       o;
    fil_options_init(&o);
    o.cancel    = cancel;
    o.user      = s;
    o.n_threads = 1 + (int32_t)draw(s, 2);
    if (fil_ctx_open(&s->ctx, &o) != FIL_OK) die(s, "a context");
    fil_model_options_init(&m);
    m.dir   = s->dir;
    m.flags = draw(s, 2) == 0 ? 0 : FIL_OPEN_TRUSTED;
    expect(s, FIL_OK, fil_model_open(s->ctx, &m, &s->model), "the model");
}

static void close_all(soak *s)
{
    fil_model_close(&s->model);
    if (fil_ctx_memory(s->ctx).used != 0) die(s, "something is held to the end");
    fil_ctx_close(&s->ctx);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: soak MODEL SCRATCH SECONDS [SEED]\n");
        return 2;
    }
    soak         s       = {.dir       = argv[1],
                            .scratch   = argv[2],
                            .random    = argc > 4 ? strtoull(argv[4], NULL, 10) : 1,
                            .cancel_in = -1};
    const double seconds = strtod(argv[3], NULL);
    const double begun   = now();
    double       told    = begun;
    long         early   = 0; /* most resident memory within the second quarter, */
    long         late    = 0; /* and the last */
    int          files   = 0;
    while (now() - begun < seconds) {
        open_all(&s);
        for (int i = 0; i < 20 && now() - begun < seconds; i++) {
            one_round(&s);
            const double at   = now() - begun;
            const long   here = resident_kib();
            if (at >= seconds / 4 && at < seconds / 2 && here > early) early = here;
            if (at >= seconds * 3 / 4 && here > late) late = here;
        }
        close_all(&s);
        if (files == 0) files = open_files();
        if (open_files() != files) die(&s, "open files grow");
        if (!(now() - told >= 60.0)) continue;
        told = now();
        tell(&s, told - begun);
    }
    tell(&s, now() - begun);
    printf("resident memory, most: %ld KiB in the second quarter, %ld KiB in the last\n", early,
           late);
    return seconds >= 600.0 && !(late <= early + early / 100 + 1024);
}
