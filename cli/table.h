/* cli/table.h: an aligned table on standard output.
 *
 * Rows are asked for twice, once for the widths and once to print, so that a table of any length
 * needs no memory. Left-aligned columns grow to 60 columns; a longer text is printed whole and
 * moves the rest of its row.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "output.h"

#define CLI_MAX_COLUMNS 8
#define CLI_CELL        192 /* a shape of FIL_MAX_RANK fits */

typedef struct cli_column {
    const char *title;
    bool        right; /* numbers */
} cli_column;

/* A cell shows `text` if it is set (borrowed until the row is printed), else `own`. */
typedef struct cli_cell {
    const char *text;
    char        own[CLI_CELL];
} cli_cell;

/* Fills the cells of row i, which come zeroed. Called twice per row; must answer the same. */
typedef void (*cli_row_fn)(const void *user, size_t i, cli_cell *cells);

void cli_table(cli_out *out, const cli_column *columns, size_t n_columns, size_t n_rows,
               cli_row_fn row, const void *user);

#endif
