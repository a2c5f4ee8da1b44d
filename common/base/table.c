/* table.c - aligned tables for people: cells are kept until all widths are known. */
#include "common/base/table.h"

#include "common/base/die.h"
#include "common/base/log.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void table_begin_plain(table_t *t, const char *align) {
    size_t columns = strlen(align);
    if (columns == 0 || columns > TABLE_COLUMNS) BUG("a table of %zu columns", columns);
    *t = (table_t){.columns = columns};
    for (size_t i = 0; i < columns; i++) {
        if (align[i] != 'l' && align[i] != 'r') BUG("alignment '%c'", align[i]);
        t->right[i] = align[i] == 'r';
    }
}

void table_begin(table_t *t, const char *align, ...) {
    table_begin_plain(t, align);
    va_list titles;
    va_start(titles, align);
    for (size_t i = 0; i < t->columns; i++) table_text(t, va_arg(titles, const char *));
    va_end(titles);
}

void table_text(table_t *t, const char *text) {
    if (t->cells == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->cell = xrealloc(t->cell, t->capacity * sizeof *t->cell);
    }
    t->cell[t->cells++] = xstrdup(text ? text : "-");
}

void table_format(table_t *t, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0) BUG("table cell: format '%s'", format);
    table_text(t, text);
}

void table_number(table_t *t, const char *format, double value) {
    char text[64];
    if (!isfinite(value)) {
        table_text(t, NULL);
        return;
    }
    snprintf(text, sizeof text, format, value);
    table_text(t, text);
}

/* Characters of UTF-8: bytes that do not continue one. */
static size_t width_of(const char *text) {
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* One row as a line: columns two spaces apart, no spaces at the end. malloc'ed. */
static char *row_text(const table_t *t, char *const *cell, const size_t *width) {
    size_t bytes = 1;
    for (size_t i = 0; i < t->columns; i++) bytes += strlen(cell[i]) + width[i] + 2;
    char *line = xmalloc(bytes);
    size_t at = 0;
    for (size_t i = 0; i < t->columns; i++) {
        size_t length = strlen(cell[i]), gap = width[i] - width_of(cell[i]);
        if (i > 0) {
            memset(line + at, ' ', 2);
            at += 2;
        }
        if (t->right[i]) {
            memset(line + at, ' ', gap);
            at += gap;
        }
        memcpy(line + at, cell[i], length);
        at += length;
        if (!t->right[i]) {
            memset(line + at, ' ', gap);
            at += gap;
        }
    }
    while (at > 0 && line[at - 1] == ' ') at--;
    line[at] = 0;
    return line;
}

void table_print(table_t *t) {
    size_t width[TABLE_COLUMNS] = {0};
    if (t->cells % t->columns != 0)
        BUG("a table of %zu columns with %zu cells", t->columns, t->cells);
    for (size_t i = 0; i < t->cells; i++) {
        size_t n = width_of(t->cell[i]);
        if (n > width[i % t->columns]) width[i % t->columns] = n;
    }
    for (size_t i = 0; i < t->cells; i += t->columns) {
        char *line = row_text(t, t->cell + i, width);
        log_line("%s", line);
        free(line);
    }
    for (size_t i = 0; i < t->cells; i++) free(t->cell[i]);
    free(t->cell);
    *t = (table_t){.columns = t->columns};
}
