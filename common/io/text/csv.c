/* csv.c - see csv.h. */
#include "common/io/text/csv.h"

#include <stdlib.h>

enum { MOST_COLUMNS = 10000 };

bool csv_quoted_after(const char *text, size_t n, bool quoted, bool *at_start, char separator) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"' && (quoted || *at_start)) quoted = !quoted;
        /* A quote right behind a closing one opens again: "" inside a field. */
        *at_start = !quoted && (text[i] == separator || text[i] == '"' || text[i] == '\n');
    }
    return quoted;
}

void csv_release(csv_t *f) {
    for (size_t i = 0; i < f->n; i++) free(f->field[i]);
    free(f->field);
    *f = (csv_t){0};
}

/* The field that begins at *at, malloc'ed; *at moves to the separator behind it, or to the end. */
static char *next_field(const char *row, size_t n, size_t *at, char separator) {
    size_t size = 0, i = *at;
    char *own = xmalloc(n - i + 1);
    bool quoted = i < n && row[i] == '"';
    if (quoted) i++;
    for (; i < n && (quoted || row[i] != separator); i++) {
        if (row[i] == '"' && quoted) {
            bool twice = i + 1 < n && row[i + 1] == '"';
            if (!twice) {
                quoted = false;
                continue;
            }
            i++;
        }
        own[size++] = row[i];
    }
    own[size] = 0;
    *at = i;
    return own;
}

int csv_split(const char *row, size_t n, char separator, csv_t *out, reason_t *why) {
    *out = (csv_t){0};
    for (size_t at = 0;; at++) {
        out->field = xgrow(out->field, &out->cap, out->n + 1, sizeof *out->field);
        out->field[out->n++] = next_field(row, n, &at, separator);
        if (at >= n) return 0;
        if (out->n == MOST_COLUMNS) {
            csv_release(out);
            return reason_set(why, "more than %d columns", MOST_COLUMNS);
        }
    }
}
