/* cli/table.c: measuring and printing of aligned rows (cli/table.h). Columns are two blanks apart,
 * titles stand in the first line, no line ends in a blank.
 */
#include <string.h>

#include "table.h"

#define WIDEST 60

typedef struct table {
    cli_out          *out;
    const cli_column *columns;
    size_t            n_columns;
    size_t            width[CLI_MAX_COLUMNS];
} table;

static const char *cell_text(const cli_cell *cell)
{
    return cell->text != NULL ? cell->text : cell->own;
}

static void ask(cli_row_fn row, const void *user, size_t i, cli_cell *cells)
{
    for (size_t c = 0; c < CLI_MAX_COLUMNS; c++) {
        cells[c].text   = NULL;
        cells[c].own[0] = '\0';
    }
    row(user, i, cells);
}

static void measure(table *t, const cli_cell *cells)
{
    for (size_t c = 0; c < t->n_columns; c++) {
        size_t width = cli_width(cell_text(&cells[c]));
        if (width > WIDEST && !t->columns[c].right) width = WIDEST;
        if (width > t->width[c]) t->width[c] = width;
    }
}

static void print_row(const table *t, const cli_cell *cells)
{
    size_t owed = 0; /* blanks that are due if something follows */
    for (size_t c = 0; c < t->n_columns; c++) {
        const char  *text  = cell_text(&cells[c]);
        const size_t width = cli_width(text);
        const size_t slack = width < t->width[c] ? t->width[c] - width : 0;
        if (t->columns[c].right) owed += slack;
        if (width > 0) {
            cli_pad(t->out, owed);
            cli_put_escaped(t->out, text, strlen(text), CLI_SHOWN, SIZE_MAX);
            owed = 0;
        }
        owed += 2 + (t->columns[c].right ? 0 : slack);
    }
    cli_put(t->out, "\n");
}

void cli_table(cli_out *out, const cli_column *columns, size_t n_columns, size_t n_rows,
               cli_row_fn row, const void *user)
{
    table    t = {.out = out, .columns = columns, .n_columns = n_columns};
    cli_cell cells[CLI_MAX_COLUMNS];
    memset(cells, 0, sizeof cells);
    for (size_t c = 0; c < n_columns; c++)
        cells[c].text = columns[c].title;
    measure(&t, cells);
    for (size_t i = 0; i < n_rows; i++) {
        ask(row, user, i, cells);
        measure(&t, cells);
    }
    for (size_t c = 0; c < n_columns; c++)
        cells[c].text = columns[c].title;
    print_row(&t, cells);
    for (size_t i = 0; i < n_rows && out->error == 0; i++) {
        ask(row, user, i, cells);
        print_row(&t, cells);
    }
}
