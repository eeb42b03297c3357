/* engine/text_cache.c: rows of prompts in files (engine/text_cache.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/text_cache.h"

#define FORMAT "filigree.text.1"
#define ENDING ".safetensors"

typedef struct path_text {
    char text[4096];
} path_text;

static bool is_there(fil_ctx *ctx, const char *file)
{
    const int fd = fili_open_retrying(ctx->os, FILI_CWD, file, FILI_OPEN_PATH);
    if (fd >= 0) (void)ctx->os->close(ctx->os->self, fd);
    return fd >= 0;
}

/* ---- which files ---------------------------------------------------------------------------- */

static void add_text(fili_sha256 *h, const char *text)
{
    fili_sha256_add(h, text, strlen(text) + 1);
}

static void add_stat(fili_sha256 *h, const fili_stat *st)
{
    const uint64_t values[] = {st->dev, st->inode, st->size, st->modified_ns, st->changed_ns};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        fili_sha256_add_number(h, values[i]);
}

/* A file of a folder. */
typedef struct entry {
    struct entry *next;
    const char   *name;
    fili_stat     st;
} entry;

/* The visible files of a folder with an ending. */
typedef struct listing {
    fili_arena *arena;
    const char *ending;
    entry      *last; /* of a chain, while the folder is read */
    entry     **all;  /* [n] */
    size_t      n;
    fil_status  status;
} listing;

static int take_name(void *arg, const char *name)
{
    listing *l = arg;
    void    *block;
    char    *copy;
    if (name[0] == '.' || !fili_ends_with(name, l->ending)) return 0;
    l->status = fili_arena_calloc(l->arena, 1, sizeof(entry), &block);
    if (l->status == FIL_OK) l->status = fili_arena_text(l->arena, name, strlen(name), &copy);
    if (l->status != FIL_OK) return 1;
    entry *e = block;
    *e       = (entry){.next = l->last, .name = copy};
    l->last  = e;
    l->n++;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(entry *const *)a)->name, (*(entry *const *)b)->name);
}

/* Sorted by name. A file that is gone when it is asked about has a zeroed stat. */
static fil_status list_folder(fil_ctx *ctx, int dir, listing *l)
{
    void     *block;
    const int r = ctx->os->list(ctx->os->self, dir, take_name, l);
    FIL_TRY(l->status);
    if (r < 0) return FIL_FAIL(ctx, FIL_E_IO, "cannot list a folder: %s", strerror(-r));
    FIL_TRY(fili_arena_calloc(l->arena, l->n, sizeof *l->all, &block));
    l->all   = block;
    size_t i = 0;
    for (entry *e = l->last; e != NULL; e = e->next) {
        l->all[i++] = e;
        if (fili_file_stat(ctx, dir, e->name, &e->st) != FIL_OK) e->st = (fili_stat){.size = 0};
    }
    if (l->n > 1) qsort(l->all, l->n, sizeof *l->all, by_name);
    return FIL_OK;
}

/* A sharded encoder: all that lies beside the index and could be a shard. */
static fil_status add_shards(fili_job *job, fili_sha256 *h, const char *index)
{
    listing     l     = {.arena = &job->arena, .ending = ENDING, .status = FIL_OK};
    const char *slash = strrchr(index, '/');
    char       *folder;
    int         dir;
    FIL_TRY(fili_arena_text(&job->arena, index, slash != NULL ? (size_t)(slash - index) + 1 : 0,
                            &folder));
    FIL_TRY(fili_dir_open(job->ctx, folder[0] != '\0' ? folder : ".", &dir));
    const fil_status status = list_folder(job->ctx, dir, &l);
    fili_dir_close(job->ctx, &dir);
    for (size_t i = 0; status == FIL_OK && i < l.n; i++) {
        add_text(h, l.all[i]->name);
        add_stat(h, &l.all[i]->st);
    }
    return status;
}

static fil_status add_encoder(fili_job *job, fili_sha256 *h)
{
    const fil_model *m    = job->model;
    const char      *path = m->paths.part[FILI_PART_T5];
    fili_stat        st;
    FIL_TRY(fili_model_paths_need(&m->paths, FILI_PART_T5));
    if (fili_is_folder(job->ctx, path))
        FIL_TRY(fili_model_part_path(job->ctx, &job->arena, path, FILI_PART_T5, m->flags, &path));
    FIL_TRY(fili_file_stat(job->ctx, FILI_CWD, path, &st));
    add_stat(h, &st);
    return fili_ends_with(path, ".index.json") ? add_shards(job, h, path) : FIL_OK;
}

/* All that matters to the ids: the model, and what is read beside it. */
static fil_status add_tokenizer(fili_job *job, fili_sha256 *h)
{
    static const char *const beside[] = {"tokenizer_config.json", "tokenizer.json"};
    const fil_model         *m        = job->model;
    const char              *path     = m->paths.tokenizer;
    fili_stat                st;
    FIL_TRY(fili_model_paths_need_tokenizer(&m->paths));
    const bool  folder = fili_is_folder(job->ctx, path);
    const char *slash  = strrchr(path, '/');
    const int   stem   = folder ? (int)strlen(path) : slash != NULL ? (int)(slash - path) : 0;
    for (int i = 0; i < 3; i++) {
        const char *name = i > 0 ? beside[i - 1] : folder ? "spiece.model" : NULL;
        path_text   file;
        const int   n = name == NULL ? snprintf(file.text, sizeof file.text, "%s", path)
                                     : snprintf(file.text, sizeof file.text, "%.*s%s%s", stem, path,
                                              folder || slash != NULL ? "/" : "", name);
        if (n < 0 || (size_t)n >= sizeof file.text)
            return FIL_FAIL(job->ctx, FIL_E_ARG, "the tokenizer's path is too long");
        const bool there = is_there(job->ctx, file.text);
        fili_sha256_add_number(h, there);
        if (!there && i > 0) continue;
        FIL_TRY(fili_file_stat(job->ctx, FILI_CWD, file.text, &st));
        add_stat(h, &st);
    }
    return FIL_OK;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static fil_status begin_key(fili_job *job, fili_sha256 *h)
{
    const fili_device *device = job->ctx->device;
    fili_sha256_begin(h);
    add_text(h, FORMAT);
    add_text(h, fil_version());
    add_text(h, fili_isa_name(job->ctx->isa));
    add_text(h, device != NULL ? device->label : "");
    fili_sha256_add_number(h, (uint64_t)job->o.precision);
    fili_sha256_add_number(h, (uint64_t)job->dit.text_dim);
    FIL_TRY(add_tokenizer(job, h));
    FIL_TRY(add_encoder(job, h));
    return fili_umt5_fingerprint(job->ctx, job->o.precision, h);
}

static fil_status make_keys(fili_job *job)
{
    fili_sha256 h;
    FIL_TRY(begin_key(job, &h));
    for (int i = 0; i < job->plan.passes; i++) {
        fili_sha256 one = h;
        add_text(&one, i == 0 ? job->o.prompt : job->o.negative);
        fili_sha256_end(&one, job->prompt[i].key);
    }
    return FIL_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

static fil_status path_of(const fili_job *job, const char *name, path_text *out)
{
    const int n = snprintf(out->text, sizeof out->text, "%s/%s", job->o.text_cache, name);
    if (n >= 0 && (size_t)n < sizeof out->text) return FIL_OK;
    return FIL_FAIL(job->ctx, FIL_E_ARG, "the name of its folder is too long");
}

static fil_status file_of(const fili_job *job, const fili_prompt *p, path_text *out)
{
    char name[FILI_SHA256_HEX + sizeof ENDING];
    snprintf(name, sizeof name, "%s%s", p->key, ENDING);
    return path_of(job, name, out);
}

/* "" where there is none. */
static const char *metadata_of(const fili_tensors *set, const char *key)
{
    const char *value = fili_tensors_metadata(set, key);
    return value != NULL ? value : "";
}

static size_t bytes_of(const fili_job *job, const fili_prompt *p)
{
    return (size_t)p->n * (size_t)job->dit.text_dim * sizeof(float);
}

static void hash_content(const fili_job *job, const fili_prompt *p, const float *rows,
                         char hex[FILI_SHA256_HEX])
{
    fili_sha256 h;
    fili_sha256_begin(&h);
    fili_sha256_add_number(&h, (uint64_t)p->cut);
    fili_sha256_add(&h, rows, bytes_of(job, p));
    fili_sha256_end(&h, hex);
}

/* Sets p->n and p->cut. */
static fil_status check_file(const fili_job *job, const fili_tensors *set, fili_prompt *p)
{
    const fili_entry *e   = fili_tensors_find(set, "rows");
    const long        cut = strtol(metadata_of(set, "cut"), NULL, 10);
    if (strcmp(metadata_of(set, "format"), FORMAT) != 0 ||
        strcmp(metadata_of(set, "key"), p->key) != 0)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH, "it is not what its name says");
    if (e == NULL || e->dtype != FIL_F32 || e->rank != 2 || e->shape[0] < 1 ||
        e->shape[0] > FILI_TOKENIZER_MAX || e->shape[1] != job->dit.text_dim || cut < 0 ||
        cut > INT32_MAX)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH, "it has no rows F32 [n, %d]",
                        (int)job->dit.text_dim);
    p->n   = (int32_t)e->shape[0];
    p->cut = (int32_t)cut;
    return FIL_OK;
}

/* The rows of a file that has been checked, in the job's memory. */
static fil_status take_rows(fili_job *job, const fili_tensors *set, fili_prompt *p)
{
    const fili_arena_mark mark = fili_arena_save(&job->arena);
    char                  hex[FILI_SHA256_HEX];
    void                 *rows;
    FIL_TRY(fili_arena_alloc(&job->arena, bytes_of(job, p), &rows));
    fil_status status =
        fili_tensors_read(set, fili_tensors_find(set, "rows"), 0, rows, bytes_of(job, p));
    hash_content(job, p, rows, hex);
    if (status == FIL_OK && strcmp(hex, metadata_of(set, "sha256")) != 0)
        status = FIL_FAIL(job->ctx, FIL_E_FORMAT, "it is damaged: its SHA-256 is another");
    if (status == FIL_OK)
        p->rows = rows;
    else
        fili_arena_release(&job->arena, mark);
    return status;
}

/* p->rows stays NULL where there is no such file. */
static fil_status find(fili_job *job, fili_prompt *p)
{
    path_text    file;
    fili_tensors set;
    FIL_TRY(file_of(job, p, &file));
    if (!is_there(job->ctx, file.text)) return FIL_OK;
    fili_tensors_init(&set, job->ctx, 0);
    fil_status status = fili_tensors_open(&set, file.text);
    if (status == FIL_OK) status = check_file(job, &set, p);
    if (status == FIL_OK) status = take_rows(job, &set, p);
    fili_tensors_fini(&set);
    p->cached = p->rows != NULL;
    return status;
}

static fil_status put(fili_writer *w, const fili_job *job, const fili_prompt *p)
{
    const fil_status status = fili_writer_put(w, 0, p->rows, bytes_of(job, p));
    if (status == FIL_OK) return fili_writer_finish(w);
    fili_writer_close(w);
    return status;
}

static fil_status write_file(const fili_job *job, const fili_prompt *p)
{
    const fil_tensor_desc t = {
        .name = "rows", .dtype = FIL_F32, .rank = 2, .shape = {p->n, job->dit.text_dim}};
    char                    hex[FILI_SHA256_HEX];
    char                    cut[16];
    path_text               file;
    fili_writer             w;
    const fil_pair          pairs[] = {{.key = "format", .value = FORMAT},
                                       {.key = "key", .value = p->key},
                                       {.key = "cut", .value = cut},
                                       {.key = "sha256", .value = hex}};
    const fili_writer_input in      = {.tensors   = &t,
                                       .n_tensors = 1,
                                       .metadata  = pairs,
                                       .n_pairs   = sizeof pairs / sizeof pairs[0]};
    snprintf(cut, sizeof cut, "%d", (int)p->cut);
    hash_content(job, p, p->rows, hex);
    FIL_TRY(file_of(job, p, &file));
    FIL_TRY(fili_writer_open(&w, job->ctx, file.text, &in, 1));
    return put(&w, job, p);
}

/* ---- the folder ----------------------------------------------------------------------------- */

/* Every folder on the way, like mkdir -p. */
static fil_status make_folder(const fili_job *job)
{
    path_text part;
    if (fili_is_folder(job->ctx, job->o.text_cache)) return FIL_OK;
    FIL_TRY(path_of(job, "", &part)); /* ends in a slash */
    for (char *at = part.text + 1; *at != '\0'; at++) {
        if (*at != '/') continue;
        *at = '\0';
        if (!fili_is_folder(job->ctx, part.text)) FIL_TRY(fili_dir_make(job->ctx, part.text, NULL));
        *at = '/';
    }
    return FIL_OK;
}

static int by_age(const void *a, const void *b)
{
    const uint64_t x = (*(entry *const *)a)->st.modified_ns;
    const uint64_t y = (*(entry *const *)b)->st.modified_ns;
    return x != y ? (x < y ? -1 : 1) : by_name(a, b);
}

static bool is_ours(const char *name)
{
    return strspn(name, "0123456789abcdef") == FILI_SHA256_HEX - 1 &&
           strcmp(name + FILI_SHA256_HEX - 1, ENDING) == 0;
}

/* Files of the cache, oldest first, until the rest is small enough. The newest stays in any case.
 */
static void remove_oldest(const fili_job *job, int dir, listing *l)
{
    const fili_os *os  = job->ctx->os;
    uint64_t       sum = 0;
    size_t         n   = 0;
    for (size_t i = 0; i < l->n; i++)
        if (is_ours(l->all[i]->name)) l->all[n++] = l->all[i];
    for (size_t i = 0; i < n; i++)
        sum += l->all[i]->st.size;
    if (n > 1) qsort(l->all, n, sizeof *l->all, by_age);
    for (size_t i = 0; i + 1 < n && sum > FILI_TEXT_CACHE_MOST; i++) {
        (void)os->unlinkat(os->self, dir, l->all[i]->name);
        sum -= l->all[i]->st.size;
    }
}

static fil_status trim(fili_job *job)
{
    listing l = {.arena = &job->arena, .ending = ENDING, .status = FIL_OK};
    int     dir;
    FIL_TRY(fili_dir_open(job->ctx, job->o.text_cache, &dir));
    const fil_status status = list_folder(job->ctx, dir, &l);
    if (status == FIL_OK) remove_oldest(job, dir, &l);
    fili_dir_close(job->ctx, &dir);
    return status;
}

static fil_status keep(fili_job *job)
{
    FIL_TRY(make_folder(job));
    for (int i = 0; i < job->plan.passes; i++)
        if (!job->prompt[i].cached) FIL_TRY(write_file(job, &job->prompt[i]));
    return trim(job);
}

/* ---- the door ------------------------------------------------------------------------------- */

/* A failure here is none of the run: it goes to the log. */
static void forgive(fili_job *job, fil_log_level level, fil_status status, const char *what)
{
    if (status != FIL_OK)
        fili_log(job->ctx, level, "the cache of text encodings: %s: %s", what,
                 job->ctx->error.message);
    fili_ctx_enter(job->ctx);
}

void fili_text_cache_look(fili_job *job)
{
    if (job->o.text_cache == NULL) return;
    const fil_status status = make_keys(job);
    job->has_text_keys      = status == FIL_OK;
    /* What is missing here, a file or memory, is missing for the run as well, which will say so. */
    forgive(job, FIL_LOG_INFO, status, "it is not used");
    for (int i = 0; i < job->plan.passes && job->has_text_keys; i++) {
        forgive(job, FIL_LOG_WARNING, find(job, &job->prompt[i]),
                "a file is left aside, and will be written anew");
        job->plan.text_cached += job->prompt[i].cached;
    }
}

void fili_text_cache_keep(fili_job *job)
{
    int missing = 0;
    for (int i = 0; i < job->plan.passes; i++)
        missing += !job->prompt[i].cached;
    if (!job->has_text_keys || missing == 0) return;
    forgive(job, FIL_LOG_WARNING, keep(job), "an encoding is not kept");
}
