/* cli/info_text.c: `filigree info` for people: a header block, a table of tensors or of files, and
 * a table of sums per dtype. Sizes on disk are given in round units and exactly.
 */
#include <string.h>

#include "info.h"
#include "table.h"

#define METADATA_COLUMNS 160 /* of one value, unless all is asked for */

void info_text_title(cli_out *out, const char *path)
{
    cli_put_escaped(out, path, strlen(path), CLI_SHOWN, SIZE_MAX);
    cli_put(out, "\n");
}

void info_text_size(cli_out *out, uint64_t bytes)
{
    char human[CLI_HUMAN];
    cli_human(human, bytes);
    if (bytes < 1024)
        cli_putf(out, "  size      %s\n", human);
    else
        cli_putf(out, "  size      %s (%llu bytes)\n", human, (unsigned long long)bytes);
}

void info_text_value(cli_out *out, const char *value, bool whole)
{
    const size_t bytes = strlen(value);
    const size_t most  = whole ? SIZE_MAX : METADATA_COLUMNS;
    const size_t shown = cli_put_escaped(out, value, bytes, CLI_SHOWN, most);
    if (shown == bytes)
        cli_put(out, "\n");
    else
        cli_putf(out, "... (%zu bytes; -v shows all)\n", bytes);
}

static void number_line(cli_out *out, const char *name, uint64_t value)
{
    cli_putf(out, "  %-8s  %llu\n", name, (unsigned long long)value);
}

static void cell_number(cli_cell *cell, uint64_t value)
{
    snprintf(cell->own, sizeof cell->own, "%llu", (unsigned long long)value);
}

/* ---- metadata ------------------------------------------------------------------------------- */

static void metadata(cli_out *out, const fil_file *file, bool whole)
{
    for (size_t i = 0; i < fil_file_metadata_pairs(file) && out->error == 0; i++) {
        const char *key;
        const char *value;
        fil_file_metadata(file, i, &key, &value);
        const size_t bytes = strlen(value);
        const size_t most  = whole ? SIZE_MAX : METADATA_COLUMNS;
        cli_put(out, i == 0 ? "  metadata  \"" : "            \"");
        cli_put_escaped(out, key, strlen(key), CLI_JSON, most);
        cli_put(out, "\": \"");
        const size_t shown = cli_put_escaped(out, value, bytes, CLI_JSON, most);
        if (shown == bytes)
            cli_put(out, "\"\n");
        else
            cli_putf(out, "\"... (%zu bytes; -v shows all)\n", bytes);
    }
}

/* ---- tensors of a file ---------------------------------------------------------------------- */

static void shape_text(char *text, size_t size, const fil_tensor_info *t)
{
    size_t n = (size_t)snprintf(text, size, "[");
    for (uint32_t k = 0; k < t->rank && n < size; k++)
        n += (size_t)snprintf(text + n, size - n, k == 0 ? "%lld" : ", %lld",
                              (long long)t->shape[k]);
    if (n < size) snprintf(text + n, size - n, "]");
}

static void tensor_row(const void *user, size_t i, cli_cell *cells)
{
    fil_tensor_info t;
    fil_file_tensor(user, i, &t);
    cells[0].text = t.name;
    cells[1].text = fil_dtype_name(t.dtype);
    shape_text(cells[2].own, sizeof cells[2].own, &t);
    cell_number(&cells[3], t.bytes);
    cells[4].text = t.file;
}

static void tensor_table(cli_out *out, const info_item *item)
{
    static const cli_column columns[] = {{.title = "name"},
                                         {.title = "dtype"},
                                         {.title = "shape"},
                                         {.title = "bytes", .right = true},
                                         {.title = "file"}};
    const size_t            n         = fil_file_tensors(item->file);
    if (n == 0) return;
    cli_put(out, "\n");
    cli_table(out, columns, item->sum.shards > 1 ? 5 : 4, n, tensor_row, item->file);
}

/* ---- sums ----------------------------------------------------------------------------------- */

typedef struct sum_rows {
    const info_sum *sum;
    int             dtype[INFO_DTYPES]; /* those that occur */
    size_t          n;
} sum_rows;

static void sum_row(const void *user, size_t i, cli_cell *cells)
{
    const sum_rows   *rows  = user;
    const bool        last  = i == rows->n;
    const info_count *count = last ? &rows->sum->all : &rows->sum->dtype[rows->dtype[i]];
    cells[0].text           = last ? "total" : fil_dtype_name((fil_dtype)rows->dtype[i]);
    cell_number(&cells[1], count->tensors);
    cell_number(&cells[2], count->parameters);
    cell_number(&cells[3], count->bytes);
    cli_human(cells[4].own, count->bytes);
}

static void sum_table(cli_out *out, const info_sum *sum)
{
    static const cli_column columns[] = {{.title = "dtype"},
                                         {.title = "tensors", .right = true},
                                         {.title = "parameters", .right = true},
                                         {.title = "bytes", .right = true},
                                         {.title = "size", .right = true}};
    sum_rows                rows      = {.sum = sum};
    for (int d = 0; d < INFO_DTYPES; d++)
        if (sum->dtype[d].tensors != 0) rows.dtype[rows.n++] = d;
    if (rows.n == 0) return;
    cli_put(out, "\n");
    cli_table(out, columns, 5, rows.n + 1, sum_row, &rows);
}

void info_text_file(cli_out *out, const info_item *item, bool whole)
{
    info_text_title(out, item->shown);
    cli_putf(out, "  format    %s\n", item->format);
    info_text_size(out, item->sum.file_bytes);
    if (item->sum.shards > 1) number_line(out, "shards", item->sum.shards);
    number_line(out, "tensors", item->sum.all.tensors);
    metadata(out, item->file, whole);
    tensor_table(out, item);
    sum_table(out, &item->sum);
}

/* ---- folders -------------------------------------------------------------------------------- */

/* "BF16, F32", cut where the cell ends. */
static void dtype_list(char *text, size_t size, const info_sum *sum)
{
    size_t n = 0;
    for (int d = 0; d < INFO_DTYPES && n < size; d++)
        if (sum->dtype[d].tensors != 0)
            n += (size_t)snprintf(text + n, size - n, "%s%s", n != 0 ? ", " : "",
                                  fil_dtype_name((fil_dtype)d));
}

static void file_row(const void *user, size_t i, cli_cell *cells)
{
    const info_item *item = (const info_item *)user + i;
    cells[0].text         = item->shown;
    cells[1].text         = item->format != NULL ? item->format : "broken";
    if (item->format == NULL) return;
    cell_number(&cells[2], item->sum.shards);
    cell_number(&cells[3], item->sum.all.tensors);
    cell_number(&cells[4], item->sum.file_bytes);
    cli_human(cells[5].own, item->sum.file_bytes);
    dtype_list(cells[6].own, sizeof cells[6].own, &item->sum);
}

void info_text_folder(cli_out *out, const char *path, const char *layout, const info_item *items,
                      size_t n, const info_sum *sum)
{
    static const cli_column columns[] = {{.title = "file"},
                                         {.title = "format"},
                                         {.title = "shards", .right = true},
                                         {.title = "tensors", .right = true},
                                         {.title = "bytes", .right = true},
                                         {.title = "size", .right = true},
                                         {.title = "dtypes"}};
    info_text_title(out, path);
    cli_putf(out, "  layout    %s\n", layout);
    number_line(out, "files", sum->files + sum->broken);
    if (sum->broken != 0) number_line(out, "broken", sum->broken);
    info_text_size(out, sum->file_bytes);
    number_line(out, "tensors", sum->all.tensors);
    cli_put(out, "\n");
    cli_table(out, columns, 7, n, file_row, items);
    sum_table(out, sum);
}
