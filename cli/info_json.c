/* cli/info_json.c: `filigree info --json`, one object per line. The fields are described in the man
 * page; fields may be added, none changes its meaning. Numbers are exact integers.
 */
#include <string.h>

#include "info.h"
#include "report.h"

void info_json_folder(cli_out *out, const char *path, const char *layout, size_t files)
{
    cli_json_open(out, "folder");
    cli_json_text(out, "path", path);
    cli_json_text(out, "layout", layout);
    cli_json_number(out, "files", files);
    cli_json_close(out);
}

static void counts(cli_out *out, const info_count *count)
{
    cli_json_number(out, "tensors", count->tensors);
    cli_json_number(out, "parameters", count->parameters);
    cli_json_number(out, "bytes", count->bytes);
}

static void metadata(cli_out *out, const fil_file *file)
{
    for (size_t i = 0; i < fil_file_metadata_pairs(file); i++) {
        const char *key;
        const char *value;
        fil_file_metadata(file, i, &key, &value);
        cli_json_open(out, "metadata");
        cli_json_text(out, "key", key);
        cli_json_text(out, "value", value);
        cli_json_close(out);
    }
}

/* "file" is a path that can be opened from where the program ran: the bytes of a tensor are
 * [offset, offset + bytes) of it. */
static void tensors(cli_out *out, const info_item *item)
{
    const char  *slash  = strrchr(item->path, '/');
    const size_t folder = slash != NULL ? (size_t)(slash - item->path) + 1 : 0;
    for (size_t i = 0; i < fil_file_tensors(item->file) && out->error == 0; i++) {
        fil_tensor_info t;
        fil_file_tensor(item->file, i, &t);
        cli_json_open(out, "tensor");
        cli_json_text(out, "name", t.name);
        cli_json_text(out, "dtype", fil_dtype_name(t.dtype));
        cli_json_array(out, "shape", t.shape, t.rank);
        cli_json_number(out, "bytes", t.bytes);
        cli_json_number(out, "offset", t.offset);
        cli_json_joined(out, "file", item->path, folder, t.file);
        cli_json_close(out);
    }
}

void info_json_file(cli_out *out, const info_item *item)
{
    cli_json_open(out, "file");
    cli_json_text(out, "path", item->shown);
    cli_json_text(out, "format", item->format);
    cli_json_number(out, "shards", item->sum.shards);
    counts(out, &item->sum.all);
    cli_json_number(out, "file_bytes", item->sum.file_bytes);
    cli_json_close(out);
    metadata(out, item->file);
    tensors(out, item);
}

void info_json_broken(cli_out *out, const info_item *item, const fil_error *error)
{
    cli_json_open(out, "error");
    cli_json_text(out, "path", item->shown);
    cli_json_failure(out, error);
    cli_json_close(out);
}

void info_json_total(cli_out *out, const info_sum *sum)
{
    for (int d = 0; d < INFO_DTYPES; d++) {
        if (sum->dtype[d].tensors == 0) continue;
        cli_json_open(out, "dtype");
        cli_json_text(out, "dtype", fil_dtype_name((fil_dtype)d));
        counts(out, &sum->dtype[d]);
        cli_json_close(out);
    }
    cli_json_open(out, "total");
    cli_json_number(out, "files", sum->files);
    cli_json_number(out, "broken", sum->broken);
    cli_json_number(out, "shards", sum->shards);
    counts(out, &sum->all);
    cli_json_number(out, "file_bytes", sum->file_bytes);
    cli_json_close(out);
}
