/* cli/many.c: one video for each line of a file (cli/many.h). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "many.h"
#include "plan_report.h"
#include "progress.h"
#include "report.h"
#include "video_run.h"

enum { PLACES = 8 };

typedef struct many many;

typedef struct video {
    const many          *of;
    fil_generate_options o;
    int                  skipped;
    int32_t              number;                     /* of those that are to be made, from 1 */
    int32_t              saves, save_failures;       /* of its run, if that is done */
    char                 failure[FIL_ERROR_MESSAGE]; /* "": none so far */
    char                 place[PLACES][CLI_PLACE];   /* paths that o points to */
} video;

struct many {
    const cli_call              *call;
    const cli_many_how          *how;
    fil_ctx                     *ctx;
    fil_model                   *model;
    fil_prompts                 *prompts;
    int32_t                      n, n_runs; /* prompts, and those that are not skipped */
    video                       *videos;
    const fil_generate_options **runs; /* [n_runs] */
};

/* ---- names ---------------------------------------------------------------------------------- */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* A picture for each frame: "%05d.png", as the library takes it. */
static int is_sequence(const char *name)
{
    const size_t bytes  = strlen(name);
    const char  *number = strchr(name, '%');
    if (number == NULL || strchr(number + 1, '%') != NULL) return 0;
    if (bytes < 4 || strcmp(name + bytes - 4, ".png") != 0) return 0;
    number++;
    if (number[0] == '0' && number[1] >= '1' && number[1] <= '9') number += 2;
    return number[0] == 'd';
}

/* The number as it stands in names: 7 of 12 is 007. */
typedef struct label {
    char text[16];
} label;

static label label_of(int32_t number, int32_t n)
{
    label     l;
    const int width = n > 9999 ? 5 : n > 999 ? 4 : 3;
    snprintf(l.text, sizeof l.text, "%0*d", width, (int)number);
    return l;
}

/* "." and ".." are no names of a folder. */
static int is_dots(const char *name, size_t bytes)
{
    return bytes <= 2 && bytes == strspn(name, ".");
}

/* Pictures of one video lie in one folder, which has the number: frames-007/%05d.png. Without a
 * folder that has a name, a new one: 007/%05d.png, ../007/%05d.png. */
static int number_folder(char *out, size_t size, const char *path, const char *number)
{
    const char *name = last_part(path);
    size_t      end  = (size_t)(name - path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    const char *joint = begin == end && name == path         ? ""
                        : is_dots(path + begin, end - begin) ? "/"
                                                             : "-";
    return snprintf(out, size, "%.*s%s%s/%s", (int)end, path, joint, number, name);
}

/* fox-007.mp4 */
static int number_file(char *out, size_t size, const char *path, const char *number)
{
    const char  *name = last_part(path);
    const char  *dot  = strrchr(name, '.');
    const size_t stem = dot != NULL && dot != name ? (size_t)(dot - path) : strlen(path);
    return snprintf(out, size, "%.*s-%s%s", (int)stem, path, number, path + stem);
}

int cli_numbered(char *out, size_t size, const char *path, int32_t number, int32_t n)
{
    const label l     = label_of(number, n);
    const int   bytes = is_sequence(last_part(path)) ? number_folder(out, size, path, l.text)
                                                     : number_file(out, size, path, l.text);
    return bytes > 0 && (size_t)bytes < size;
}

static int too_long(void)
{
    return cli_usage("generate: the name of an output is too long");
}

static int name_outputs(const many *m, video *v, int32_t i)
{
    const char **const path[] = {&v->o.video, &v->o.save_noise, &v->o.save_latents,
                                 &v->o.save_frames, &v->o.capture_to};
    for (int k = 0; k < 5; k++) {
        if (*path[k] == NULL) continue;
        if (!cli_numbered(v->place[k], CLI_PLACE, *path[k], i + 1, m->n)) return too_long();
        *path[k] = v->place[k];
    }
    return CLI_EXIT_DONE;
}

static int name_beside(const many *m, video *v)
{
    const char *output = cli_main_output(&v->o);
    if (!cli_beside(v->place[5], output, ".json") ||
        !cli_beside(v->place[6], output, ".resume.safetensors") ||
        !cli_beside(v->place[7], output, ".preview.png"))
        return too_long();
    v->o.save_recipe = v->o.video != NULL ? v->place[5] : NULL;
    v->o.checkpoint  = m->how->saves != 0 ? v->place[6] : NULL;
    v->o.preview     = v->o.preview_steps > 0 ? v->place[7] : NULL;
    return CLI_EXIT_DONE;
}

/* ---- what is there -------------------------------------------------------------------------- */

static int is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* A video is told by the recipe beside it; frames and latents by their names alone. What is of
 * another run is made again where it may be replaced. */
static int check_standing(const many *m, video *v)
{
    fil_recipe *recipe = NULL;
    if (v->o.save_recipe == NULL) return CLI_EXIT_DONE;
    fil_status status = fil_recipe_open(m->ctx, v->o.save_recipe, &recipe);
    if (status == FIL_OK) status = fil_recipe_compare(m->model, recipe, &v->o);
    fil_recipe_close(&recipe);
    if (status == FIL_OK) return CLI_EXIT_DONE;
    v->skipped = v->o.replace == 0;
    if (v->skipped == 0) return CLI_EXIT_DONE;
    if (status != FIL_E_MISMATCH) return cli_failed(m->ctx, NULL);
    return cli_usage("'%.200s' stands: %s; --force makes it again", v->o.video,
                     fil_ctx_error(m->ctx)->message);
}

/* The recipe is the last file of a run. Of many pictures nobody looks for each. */
static int does_stand(const video *v)
{
    const char *output = cli_main_output(&v->o);
    if (v->o.video == NULL) return is_there(output);
    return is_there(v->o.save_recipe) && (is_there(output) || is_sequence(last_part(output)));
}

static int look(const many *m, video *v)
{
    const int begun  = is_there(v->place[6]);
    const int stands = does_stand(v);
    if (m->how->resumes == 0) return CLI_EXIT_DONE;
    if (begun) {
        v->o.resume = v->place[6];
        v->o.replace |= is_there(cli_main_output(&v->o)); /* its own, from before it was stopped */
        return CLI_EXIT_DONE;
    }
    v->skipped = stands;
    return stands ? check_standing(m, v) : CLI_EXIT_DONE;
}

/* ---- the list ------------------------------------------------------------------------------- */

static void on_event(void *user, const fil_event *event);

static int fill(many *m, const fil_generate_options *base)
{
    for (int32_t i = 0; i < m->n; i++) {
        video *v        = &m->videos[i];
        v->of           = m;
        v->o            = *base;
        v->o.prompt     = fil_prompts_text(m->prompts, i);
        v->o.event      = on_event;
        v->o.event_user = v;
        int code        = name_outputs(m, v, i);
        if (code == CLI_EXIT_DONE) code = name_beside(m, v);
        if (code == CLI_EXIT_DONE) code = look(m, v);
        if (code != CLI_EXIT_DONE) return code;
        if (v->skipped) continue;
        m->runs[m->n_runs++] = &v->o;
        v->number            = m->n_runs;
    }
    return CLI_EXIT_DONE;
}

static int many_open(many *m, const fil_generate_options *base)
{
    if (fil_prompts_open(m->ctx, m->how->prompt_file, &m->prompts) != FIL_OK)
        return cli_failed(m->ctx, NULL);
    m->n      = fil_prompts_count(m->prompts);
    m->videos = calloc((size_t)m->n, sizeof *m->videos);
    m->runs   = calloc((size_t)m->n, sizeof *m->runs);
    if (m->videos == NULL || m->runs == NULL) {
        cli_error("no memory for %d prompts", (int)m->n);
        return CLI_EXIT_MEMORY;
    }
    return fill(m, base);
}

static void many_close(many *m)
{
    fil_prompts_close(&m->prompts);
    free(m->videos);
    free(m->runs);
}

/* ---- the runs ------------------------------------------------------------------------------- */

/* Said at once, for who looks, and again at the end. */
static void take_failure(video *v, const fil_event *event)
{
    snprintf(v->failure, sizeof v->failure, "%s", event->error->message);
    (void)cli_failed(v->of->ctx, NULL);
    cli_progress_failed(v->number, cli_main_output(&v->o), event->error);
}

static void take_done(video *v, const fil_event *event)
{
    v->saves         = event->result->saves;
    v->save_failures = event->result->save_failures;
    cli_tell_run(v->of->call, v->of->how->json, event->path, event->result);
}

static void on_event(void *user, const fil_event *event)
{
    video      *v = user;
    const many *m = v->of;
    switch (event->kind) {
    case FIL_EVENT_DONE: take_done(v, event); break;
    case FIL_EVENT_PLANNED: cli_progress_planned(event, m->n_runs); break;
    case FIL_EVENT_FAILED: take_failure(v, event); break;
    default: cli_progress_event(NULL, event);
    }
}

/* Behind all the lines of the runs. */
static void tell_saves(const many *m)
{
    for (int32_t i = 0; i < m->n; i++) {
        const video *v = &m->videos[i];
        cli_tell_saves(cli_main_output(&v->o), v->saves, v->save_failures);
    }
}

/* How many. */
static int32_t tell_failures(const many *m)
{
    int32_t n = 0;
    for (int32_t i = 0; i < m->n; i++) {
        const video *v = &m->videos[i];
        if (v->failure[0] == '\0') continue;
        cli_error("'%.200s' was not made: %s", cli_main_output(&v->o), v->failure);
        n++;
    }
    return n;
}

static void tell_stopped(const many *m, int32_t done, const fil_video_result *last)
{
    const int32_t stand     = m->n - m->n_runs + done;
    char          saved[64] = "";
    if (last->saved_step >= 0)
        snprintf(saved, sizeof saved, ", the next is saved after %d step%s", (int)last->saved_step,
                 last->saved_step == 1 ? "" : "s");
    cli_error("note: %d of %d videos stand%s; go on with the same command and --continue",
              (int)stand, (int)m->n, saved);
}

static void tell_end_json(const many *m, int32_t done, int32_t failed)
{
    cli_out *out = m->call->out;
    cli_json_open(out, "videos");
    cli_json_number(out, "videos", (uint64_t)m->n);
    cli_json_number(out, "made", (uint64_t)done);
    cli_json_number(out, "failed", (uint64_t)failed);
    cli_json_number(out, "skipped", (uint64_t)(m->n - m->n_runs));
    cli_json_close(out);
}

static void tell_end(const many *m, int32_t done, int32_t failed)
{
    char text[32] = "";
    if (m->how->json != 0) {
        tell_end_json(m, done, failed);
        return;
    }
    if (failed > 0) snprintf(text, sizeof text, ", %d failed", (int)failed);
    cli_note(m->call->common, "%d video%s made, %d stood before%s%s", (int)done,
             done == 1 ? "" : "s", (int)(m->n - m->n_runs), text,
             failed > 0 ? "; --continue tries those again" : "");
}

/* Of all of them the seconds, which a plan of one has not. */
static void tell_plan_of_all(const many *m, fil_plan *p)
{
    char time[CLI_ABOUT];
    char text[CLI_ABOUT + 16] = "";
    if (m->how->json != 0) return;
    if (isfinite(p->estimate_seconds))
        snprintf(text, sizeof text, ", about %s", cli_about(time, p->estimate_seconds));
    cli_putf(m->call->out, "videos      %d to make%s, %d stand; of each, or of the largest:\n",
             (int)m->n_runs, text, (int)(m->n - m->n_runs));
    p->estimate_seconds = (double)NAN;
}

static int plan(const many *m)
{
    fil_plan p;
    if (m->n_runs == 0) return CLI_EXIT_DONE;
    if (fil_generate_many_estimate(m->model, m->runs, m->n_runs, &p) != FIL_OK)
        return cli_failed(m->ctx, NULL);
    tell_plan_of_all(m, &p);
    m->how->tell_plan(m->call, &p);
    return CLI_EXIT_DONE;
}

static int run(const many *m)
{
    int32_t          done   = 0;
    fil_video_result last   = {.saved_step = -1};
    fil_status       status = FIL_OK;
    if (m->n_runs > 0) status = fil_generate_many(m->model, m->runs, m->n_runs, &done, &last);
    tell_saves(m);
    const int32_t failed = tell_failures(m);
    if (done + failed < m->n_runs) {
        const int code = cli_failed(m->ctx, NULL);
        if (done > 0 || last.saved_step >= 0 || m->n_runs < m->n) tell_stopped(m, done, &last);
        return code;
    }
    tell_end(m, done, failed);
    return (int)cli_exit_of(status);
}

int cli_generate_many(const cli_call *call, fil_ctx *ctx, fil_model *model,
                      const fil_generate_options *base, const cli_many_how *how)
{
    many m    = {.call = call, .how = how, .ctx = ctx, .model = model};
    int  code = many_open(&m, base);
    if (code == CLI_EXIT_DONE) code = how->plan != 0 ? plan(&m) : run(&m);
    many_close(&m);
    return code;
}
