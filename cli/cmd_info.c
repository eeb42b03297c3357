/* cli/cmd_info.c: `filigree info PATH`. What is in a model file or folder, or of what a video or
 * picture was made, from headers alone.
 *
 * A folder is walked file by file; only one is open at a time. One that cannot be opened is
 * reported, the others are still listed, and the exit code is that of the first failure.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "info.h"
#include "report.h"
#include "verb.h"

typedef struct info_values {
    int json, trusted;
} info_values;

typedef struct info_run {
    const cli_call    *call;
    const info_values *values;
    fil_ctx           *ctx;
    uint32_t           flags; /* FIL_OPEN_* */
    info_sum           sum;   /* of all files */
    int                code;  /* of the first failure */
} info_run;

/* From the bytes, because the product of a shape with a zero in it may have wrapped on the way. */
uint64_t info_elements(const fil_tensor_info *tensor)
{
    uint32_t       run;
    const uint32_t bytes = fil_dtype_block(tensor->dtype, &run);
    return bytes != 0 ? tensor->bytes / bytes * run : 0;
}

/* Entries of a checkpoint may share bytes, so sums are not bounded by the size of a file. */
static void add(uint64_t *sum, uint64_t value)
{
    *sum = *sum > UINT64_MAX - value ? UINT64_MAX : *sum + value;
}

static void add_count(info_count *sum, const info_count *more)
{
    add(&sum->tensors, more->tensors);
    add(&sum->parameters, more->parameters);
    add(&sum->bytes, more->bytes);
}

static void add_sum(info_sum *sum, const info_sum *more)
{
    add(&sum->files, more->files);
    add(&sum->broken, more->broken);
    add(&sum->shards, more->shards);
    add(&sum->file_bytes, more->file_bytes);
    add_count(&sum->all, &more->all);
    for (size_t d = 0; d < INFO_DTYPES; d++)
        add_count(&sum->dtype[d], &more->dtype[d]);
}

static void count_file(info_sum *sum, const fil_file *file)
{
    sum->files      = 1;
    sum->shards     = fil_file_shards(file);
    sum->file_bytes = fil_file_bytes(file);
    for (size_t i = 0; i < fil_file_tensors(file); i++) {
        fil_tensor_info t;
        fil_file_tensor(file, i, &t);
        const info_count one = {.tensors = 1, .parameters = info_elements(&t), .bytes = t.bytes};
        add_count(&sum->all, &one);
        if ((size_t)t.dtype < INFO_DTYPES) add_count(&sum->dtype[t.dtype], &one);
    }
}

/* ---- one file ------------------------------------------------------------------------------- */

/* Opens, counts, prints, closes. A file that cannot be opened is counted as broken. */
static void take_file(info_run *run, info_item *item, bool in_folder)
{
    cli_out   *out   = run->call->out;
    const bool json  = run->values->json != 0;
    const bool whole = run->call->common->verbose != 0;
    fil_file  *file  = NULL;
    if (fil_file_open(run->ctx, item->path, run->flags, &file) != FIL_OK) {
        const int code = cli_failed(run->ctx, in_folder ? item->shown : NULL);
        if (run->code == CLI_EXIT_DONE) run->code = code;
        item->sum.broken = 1;
        if (json && in_folder) info_json_broken(out, item, fil_ctx_error(run->ctx));
        add_sum(&run->sum, &item->sum);
        return;
    }
    item->file   = file;
    item->format = fil_file_format(file);
    count_file(&item->sum, file);
    add_sum(&run->sum, &item->sum);
    if (json) {
        info_json_file(out, item);
    } else if (!in_folder || whole) {
        info_text_file(out, item, whole);
        if (in_folder) cli_put(out, "\n");
    }
    item->file = NULL;
    fil_file_close(&file);
}

static void one_media(info_run *run, const char *path)
{
    fil_media *media = NULL;
    if (fil_media_open(run->ctx, path, &media) != FIL_OK)
        run->code = cli_failed(run->ctx, NULL);
    else if (run->values->json != 0)
        info_json_media(run->call->out, path, media);
    else
        info_text_media(run->call->out, path, media, run->call->common->verbose != 0);
    fil_media_close(&media);
}

static void one_file(info_run *run, const char *path)
{
    info_item item = {.shown = path, .path = path};
    if (fil_media_format(run->ctx, path) != NULL) {
        one_media(run, path);
        return;
    }
    take_file(run, &item, false);
    if (run->code == CLI_EXIT_DONE && run->values->json != 0)
        info_json_total(run->call->out, &run->sum);
}

/* ---- folders -------------------------------------------------------------------------------- */

static int no_memory(size_t bytes)
{
    cli_error("out of memory: no %zu bytes for the list of files", bytes);
    return CLI_EXIT_MEMORY;
}

/* "folder/name" in storage of its own, or NULL. */
static char *join(const char *folder, const char *name)
{
    const size_t n     = strlen(folder);
    const bool   slash = n > 0 && folder[n - 1] == '/';
    const size_t bytes = n + strlen(name) + 2;
    char        *path  = malloc(bytes);
    if (path != NULL) snprintf(path, bytes, "%s%s%s", folder, slash ? "" : "/", name);
    return path;
}

static int take_files(info_run *run, const char *path, const fil_folder *folder, info_item *items)
{
    for (size_t i = 0; i < fil_folder_files(folder) && run->call->out->error == 0; i++) {
        items[i].shown = fil_folder_file(folder, i);
        char *whole    = join(path, items[i].shown);
        if (whole == NULL) return no_memory(strlen(path) + strlen(items[i].shown) + 2);
        items[i].path = whole;
        take_file(run, &items[i], true);
        items[i].path = NULL;
        free(whole);
    }
    return CLI_EXIT_DONE;
}

static int list_folder(info_run *run, const char *path, const fil_folder *folder)
{
    cli_out     *out   = run->call->out;
    const bool   json  = run->values->json != 0;
    const size_t n     = fil_folder_files(folder);
    info_item   *items = calloc(n > 0 ? n : 1, sizeof *items);
    if (items == NULL) return no_memory(n * sizeof *items);
    if (json) info_json_folder(out, path, fil_folder_layout(folder), n);
    const int code = take_files(run, path, folder, items);
    if (code == CLI_EXIT_DONE && json)
        info_json_total(out, &run->sum);
    else if (code == CLI_EXIT_DONE)
        info_text_folder(out, path, fil_folder_layout(folder), items, n, &run->sum);
    free(items);
    return code;
}

/* Any folder may be asked about: one that is no model has its files listed and no more. */
static void tell_model(info_run *run, const char *path)
{
    fil_model_info model;
    if (fil_model_info_get(run->ctx, path, run->flags, &model) != FIL_OK) return;
    if (run->values->json != 0)
        info_json_model(run->call->out, &model);
    else
        info_text_model(run->call->out, &model);
}

static void one_folder(info_run *run, const char *path)
{
    fil_folder *folder = NULL;
    if (fil_folder_open(run->ctx, path, run->flags, &folder) != FIL_OK) {
        run->code = cli_failed(run->ctx, NULL);
        return;
    }
    const int code = list_folder(run, path, folder);
    if (code != CLI_EXIT_DONE) run->code = code;
    fil_folder_close(&folder);
    if (run->code == CLI_EXIT_DONE) tell_model(run, path);
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int run_info(const cli_call *call)
{
    const char *path = call->args[0];
    info_run    run  = {.call = call, .values = call->values};
    struct stat st;
    run.flags      = run.values->trusted != 0 ? FIL_OPEN_TRUSTED : 0;
    const int code = cli_open_context(call->common, &run.ctx);
    if (code != CLI_EXIT_DONE) return code;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        one_folder(&run, path);
    else
        one_file(&run, path);
    fil_ctx_close(&run.ctx);
    return run.code;
}

static const cli_option options[] = {
    {.name = "json",
     .kind = CLI_FLAG,
     .help = "print one JSON object per line instead of tables; tensors of every file included",
     .at   = offsetof(info_values, json)},
    {.name = "trusted",
     .kind = CLI_FLAG,
     .help = "for files of your own: follow symbolic links in a model folder or beside an index, "
             "and map files into memory",
     .at   = offsetof(info_values, trusted)},
};

const cli_verb cli_verb_info = {
    .name      = "info",
    .summary   = "list the tensors of a model file or folder, or the settings in a video",
    .args      = "PATH",
    .min_args  = 1,
    .max_args  = 1,
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes =
        "PATH is a .safetensors file, a PyTorch checkpoint (.pth), a GGUF file, the index of a "
        "sharded model (NAME.safetensors.index.json) or a model folder. Files are told by their "
        "content. Only headers are read and nothing in a file is executed.\n"
        "\n"
        "A file: a header, one line per tensor ordered by name, and sums per dtype. A folder: "
        "one line per model file; -v lists the tensors of each file too. A file of a folder "
        "that cannot be read is reported on stderr and shown as broken, the others are listed, "
        "and the exit code is that of the first failure (3 for a malformed file).\n"
        "\n"
        "PATH may also be a video or a picture: its size, frames and rate, and the settings of the "
        "run that made it, where filigree wrote it as .mp4, .webm or .png.\n"
        "\n"
        "A folder with a Wan transformer is followed by what model it is, its sizes, and the "
        "memory that it takes.\n"
        "\n"
        "With --json stdout carries objects of these types: folder, file, metadata, tensor, "
        "error, dtype, total, model, media, setting. filigree(1) lists their fields.\n"
        "\n"
        "examples:\n"
        "  filigree info model.safetensors\n"
        "  filigree info fox.mp4\n"
        "  filigree info --json Wan2.1-T2V-1.3B | grep '\"type\":\"tensor\"'\n",
    .run = run_info,
};
