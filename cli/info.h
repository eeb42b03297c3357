/* cli/info.h: what `filigree info` counts, and its two ways to print: lines of JSON and text for
 * people. cmd_info.c walks and counts, info_json.c and info_text.c print; both get the same data.
 * info_model.c and info_media.c print both for a model, and for a video or picture.
 */
#ifndef CLI_INFO_H
#define CLI_INFO_H

#include "filigree/media.h"
#include "filigree/model.h"
#include "output.h"

#define INFO_DTYPES 64 /* more than the largest fil_dtype */

typedef struct info_count {
    uint64_t tensors;
    uint64_t parameters; /* elements of any dtype */
    uint64_t bytes;      /* of tensor data */
} info_count;

typedef struct info_sum {
    uint64_t   files, broken; /* an index with its shards is one file; broken ones are not in it */
    uint64_t   shards;        /* files on disk */
    uint64_t   file_bytes;    /* their sizes */
    info_count all;
    info_count dtype[INFO_DTYPES];
} info_sum;

/* One model file, opened or not. */
typedef struct info_item {
    const char     *shown;  /* the path to print; in a folder, relative to it */
    const char     *path;   /* the path that opens it; valid while it is open */
    const fil_file *file;   /* valid while it is open */
    const char     *format; /* static storage; NULL: it could not be opened */
    info_sum        sum;    /* of this file alone */
} info_item;

uint64_t info_elements(const fil_tensor_info *tensor);

void info_json_folder(cli_out *out, const char *path, const char *layout, size_t files);
void info_json_file(cli_out *out, const info_item *item);
/* A file of a folder that could not be opened; the detail is in `error`. */
void info_json_broken(cli_out *out, const info_item *item, const fil_error *error);
void info_json_total(cli_out *out, const info_sum *sum);

/* The header, the tensors, and the sums per dtype of one file. `whole`: metadata is not cut. */
void info_text_file(cli_out *out, const info_item *item, bool whole);
void info_text_folder(cli_out *out, const char *path, const char *layout, const info_item *items,
                      size_t n, const info_sum *sum);

/* Parts of them. A value is escaped, cut at 160 columns unless `whole`, and ends the line. */
void info_text_title(cli_out *out, const char *path);
void info_text_size(cli_out *out, uint64_t bytes);
void info_text_value(cli_out *out, const char *value, bool whole);

/* What a video or picture tells of itself. */
void info_json_media(cli_out *out, const char *path, const fil_media *media);
void info_text_media(cli_out *out, const char *path, const fil_media *media, bool whole);

/* What model a folder is, where it is one. */
void info_json_model(cli_out *out, const fil_model_info *model);
void info_text_model(cli_out *out, const fil_model_info *model);

#endif
