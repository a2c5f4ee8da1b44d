/* table.h - aligned tables for people, on stderr beside the JSON that programs write to stdout.
 *
 *   table_t t;
 *   table_begin(&t, "lr", "source", "PSNR");      a left and a right column, with titles
 *   table_text(&t, "clipart");
 *   table_number(&t, "%.2f", 18.3);               the row is full: the next cell begins another
 *   table_print(&t);                              prints with log_line and releases
 *
 * Widths count characters of UTF-8, each as one column. Foreign text goes through utf8_printable
 * first.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum { TABLE_COLUMNS = 16 };

typedef struct {
    size_t columns;
    bool right[TABLE_COLUMNS]; /* aligned to the right */
    char **cell;               /* [cells], row after row; owned */
    size_t cells, capacity;
} table_t;

/* `align` holds one letter per column, l or r. After it comes a title per column. */
void table_begin(table_t *t, const char *align, ...);
/* The same without titles, for rows of a name and a value. */
void table_begin_plain(table_t *t, const char *align);

/* The next cell. NULL is a dash. */
void table_text(table_t *t, const char *text);
void table_format(table_t *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* `format` takes one double ("%.2f"); a number that is not finite is a dash. */
void table_number(table_t *t, const char *format, double value);

/* Writes the rows to stderr and releases the table. An unfinished row is a programmer's error. */
void table_print(table_t *t);

#endif
