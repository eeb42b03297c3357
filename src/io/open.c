/* io/open.c: opens whatever file of tensors it is given: index by its ending, everything else by
 * its first bytes. Adds the file's name to a failure.
 */
#include <string.h>

#include "io/foreign.h"
#include "io/tensors.h"

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text);
    const size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static fil_status read_one(fili_tensors *set, const char *path)
{
    unsigned char head[FILI_SNIFF];
    int32_t       source;
    FIL_TRY(fili_tensors_source(set, FILI_CWD, path, 0, &source));
    const fili_file *file  = &set->sources[source].file;
    const size_t     bytes = file->size < FILI_SNIFF ? (size_t)file->size : FILI_SNIFF;
    FIL_TRY(fili_file_read(set->ctx, file, 0, head, bytes));
    if (fili_is_zip(head, bytes)) return fili_pth_read_header(set, source);
    if (fili_is_gguf(head, bytes)) return fili_gguf_read_header(set, source);
    return fili_safetensors_read_header(set, source);
}

static void frame(fil_ctx *ctx, const char *path, const char *rest)
{
    const char *slash = strrchr(path, '/');
    const char *base  = slash != NULL ? slash + 1 : path;
    fili_error_frame(ctx, "file %s%s", fili_quote(base, strlen(base)).text, rest);
}

static fil_status read_any(fili_tensors *set, const char *path)
{
    const fil_status status =
        ends_with(path, ".index.json") ? fili_index_read(set, path) : read_one(set, path);
    if (status != FIL_OK) frame(set->ctx, path, "");
    return status;
}

fil_status fili_tensors_open(fili_tensors *set, const char *path)
{
    return fili_tensors_open_all(set, &path, 1);
}

fil_status fili_tensors_open_all(fili_tensors *set, const char *const *paths, size_t n)
{
    for (size_t i = 0; i < n; i++)
        FIL_TRY(read_any(set, paths[i]));
    if (n > 1) set->n_pairs = 0; /* one file's metadata are not the others' */
    const fil_status status = fili_tensors_seal(set);
    if (status != FIL_OK) frame(set->ctx, paths[0], n > 1 ? " and others" : "");
    return status;
}
