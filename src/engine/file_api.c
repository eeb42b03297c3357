/* engine/file_api.c: the public face of io/tensors.h and io/safetensors_writer.h (filigree/file.h).
 *
 * It checks what a caller may get wrong, clears the former call's error, and says in a frame which
 * file was meant. Formats, limits and layout are decided in io/.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/safetensors_writer.h"
#include "io/tensors.h"

struct fil_file {
    fil_ctx     *ctx;
    fili_tensors set;
};

struct fil_writer {
    fil_ctx    *ctx;
    fili_writer w;
};

/* ---- reading -------------------------------------------------------------------------------- */

static fil_status file_open(fil_ctx *ctx, const char *path, uint32_t flags, fil_file **out)
{
    void *block;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_file), "file handle", &block));
    fil_file *file = block;
    file->ctx      = ctx;
    fili_tensors_init(&file->set, ctx, flags);
    const fil_status status = fili_tensors_open(&file->set, path);
    if (status != FIL_OK) fil_file_close(&file);
    *out = file;
    return status;
}

fil_status fil_file_open(fil_ctx *ctx, const char *path, uint32_t flags, fil_file **out)
{
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_file_open: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && out != NULL, "fil_file_open: %s is NULL",
              path == NULL ? "path" : "out");
    FIL_CHECK(ctx, (flags & ~FIL_OPEN_TRUSTED) == 0, "fil_file_open: unknown flags 0x%x", flags);
    return file_open(ctx, path, flags, out);
}

void fil_file_close(fil_file **file)
{
    if (file == NULL || *file == NULL) return;
    fili_tensors_fini(&(*file)->set);
    fili_free((*file)->ctx, *file, sizeof **file);
    *file = NULL;
}

const char *fil_file_format(const fil_file *file)
{
    return file != NULL ? file->set.format : "";
}

size_t fil_file_tensors(const fil_file *file)
{
    return file != NULL ? file->set.n_entries : 0;
}

size_t fil_file_shards(const fil_file *file)
{
    return file != NULL ? file->set.n_sources : 0;
}

uint64_t fil_file_bytes(const fil_file *file)
{
    uint64_t total = 0;
    for (size_t i = 0; i < fil_file_shards(file); i++)
        if (!fili_add_u64(total, file->set.sources[i].file.size, &total)) return UINT64_MAX;
    return total;
}

void fil_file_tensor(const fil_file *file, size_t i, fil_tensor_info *info)
{
    if (info == NULL) return;
    *info = (fil_tensor_info){.name = NULL};
    if (i >= fil_file_tensors(file)) return;
    const fili_entry *e = &file->set.entries[i];
    *info               = (fil_tensor_info){.name   = e->name,
                                            .dtype  = e->dtype,
                                            .rank   = e->rank,
                                            .bytes  = e->bytes,
                                            .offset = e->offset,
                                            .file   = file->set.sources[e->source].name};
    memcpy(info->shape, e->shape, e->rank * sizeof e->shape[0]);
}

int64_t fil_file_find(const fil_file *file, const char *name)
{
    if (file == NULL || name == NULL) return -1;
    const fili_entry *e = fili_tensors_find(&file->set, name);
    return e != NULL ? (int64_t)(e - file->set.entries) : -1;
}

size_t fil_file_metadata_pairs(const fil_file *file)
{
    return file != NULL ? file->set.n_pairs : 0;
}

void fil_file_metadata(const fil_file *file, size_t i, const char **key, const char **value)
{
    const fil_pair none = {.key = NULL, .value = NULL};
    const fil_pair pair = i < fil_file_metadata_pairs(file) ? file->set.metadata[i] : none;
    if (key != NULL) *key = pair.key;
    if (value != NULL) *value = pair.value;
}

fil_status fil_file_read(fil_file *file, size_t i, uint64_t begin, void *dst, uint64_t bytes)
{
    FIL_CHECK(NULL, file != NULL, "fil_file_read: file is NULL");
    fil_ctx *ctx = file->ctx;
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, i < file->set.n_entries, "fil_file_read: tensor %zu of %zu", i,
              file->set.n_entries);
    FIL_CHECK(ctx, dst != NULL || bytes == 0, "fil_file_read: dst is NULL");
    const fili_entry *e      = &file->set.entries[i];
    const fil_status  status = fili_tensors_read(&file->set, e, begin, dst, bytes);
    if (status == FIL_OK) return FIL_OK;
    const char *source = file->set.sources[e->source].name;
    fili_error_frame(ctx, "tensor %s", fili_quote(e->name, strlen(e->name)).text);
    fili_error_frame(ctx, "file %s", fili_quote(source, strlen(source)).text);
    return status;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void writer_frame(fil_ctx *ctx, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base  = slash != NULL ? slash + 1 : path;
    fili_error_frame(ctx, "file %s", fili_quote(base, strlen(base)).text);
}

static fil_status writer_open(fil_ctx *ctx, const char *path, const fili_writer_input *input,
                              uint32_t flags, fil_writer **out)
{
    void *block;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_writer), "writer handle", &block));
    fil_writer *writer = block;
    writer->ctx        = ctx;
    const fil_status status =
        fili_writer_open(&writer->w, ctx, path, input, (flags & FIL_WRITE_REPLACE) != 0);
    if (status != FIL_OK) fil_writer_close(&writer);
    *out = writer;
    return status;
}

fil_status fil_writer_open(fil_ctx *ctx, const char *path, const fil_tensor_desc *tensors,
                           size_t n_tensors, const fil_pair *metadata, size_t n_pairs,
                           uint32_t flags, fil_writer **out)
{
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_writer_open: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && out != NULL, "fil_writer_open: %s is NULL",
              path == NULL ? "path" : "out");
    FIL_CHECK(ctx, tensors != NULL || n_tensors == 0,
              "fil_writer_open: tensors is NULL, n_tensors is %zu", n_tensors);
    FIL_CHECK(ctx, metadata != NULL || n_pairs == 0,
              "fil_writer_open: metadata is NULL, n_pairs is %zu", n_pairs);
    FIL_CHECK(ctx, (flags & ~FIL_WRITE_REPLACE) == 0, "fil_writer_open: unknown flags 0x%x", flags);
    const fili_writer_input input = {
        .tensors = tensors, .n_tensors = n_tensors, .metadata = metadata, .n_pairs = n_pairs};
    const fil_status status = writer_open(ctx, path, &input, flags, out);
    if (status != FIL_OK) writer_frame(ctx, path);
    return status;
}

fil_status fil_writer_put(fil_writer *writer, size_t i, const void *data, uint64_t bytes)
{
    FIL_CHECK(NULL, writer != NULL, "fil_writer_put: writer is NULL");
    fil_ctx *ctx = writer->ctx;
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, i < writer->w.n_slots, "fil_writer_put: tensor %zu of %zu", i,
              writer->w.n_slots);
    FIL_CHECK(ctx, data != NULL || bytes == 0, "fil_writer_put: data is NULL");
    const fil_status status = fili_writer_put(&writer->w, i, data, bytes);
    if (status != FIL_OK) writer_frame(ctx, writer->w.file.base);
    return status;
}

fil_status fil_writer_finish(fil_writer **writer)
{
    FIL_CHECK(NULL, writer != NULL && *writer != NULL, "fil_writer_finish: writer is NULL");
    fil_ctx *ctx = (*writer)->ctx;
    fili_ctx_enter(ctx);
    const fil_status status = fili_writer_finish(&(*writer)->w);
    if (status != FIL_OK) writer_frame(ctx, (*writer)->w.file.base);
    fil_writer_close(writer);
    return status;
}

void fil_writer_close(fil_writer **writer)
{
    if (writer == NULL || *writer == NULL) return;
    fili_writer_close(&(*writer)->w);
    fili_free((*writer)->ctx, *writer, sizeof **writer);
    *writer = NULL;
}
