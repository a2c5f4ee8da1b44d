/* text_table.c - tables (metadata.csv): a line of names, then a row per item, separated by commas
 * or tabs; fields may stand in double quotes, with "" for a quote inside, and hold line breaks. A
 * row is taken as an object of its names; an empty field is absent.
 */
#include "tokenize/text_format.h"

#include "common/io/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 10000, ROW_MAX = 1 << 26 };

typedef struct {
    char **field; /* owned */
    size_t n, cap;
} fields_t;

struct text_columns {
    fields_t names;
    char separator;
};

/* ---- a row ---- */

/* Inside quotes behind the n bytes, which were not before them? */
static bool quoted_after(const char *text, size_t n, bool quoted, bool *at_start, char separator) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"' && (quoted || *at_start)) quoted = !quoted;
        /* A quote right behind a closing one opens again: "" inside a field. */
        *at_start = !quoted && (text[i] == separator || text[i] == '"' || text[i] == '\n');
    }
    return quoted;
}

static void fields_release(fields_t *f) {
    for (size_t i = 0; i < f->n; i++) free(f->field[i]);
    free(f->field);
    *f = (fields_t){0};
}

/* The field at *at, which then stands on the separator or the end. */
static char *next_field(const char *row, size_t n, size_t *at, char separator) {
    size_t size = 0, i = *at;
    char *own = xmalloc(n - i + 1);
    bool quoted = i < n && row[i] == '"';
    if (quoted) i++;
    for (; i < n && (quoted || row[i] != separator); i++) {
        if (row[i] == '"' && quoted) {
            if (i + 1 < n && row[i + 1] == '"')
                i++;
            else {
                quoted = false;
                continue;
            }
        }
        own[size++] = row[i];
    }
    own[size] = 0;
    *at = i;
    return own;
}

static int split(const char *row, size_t n, char separator, fields_t *out, reason_t *why) {
    *out = (fields_t){0};
    for (size_t at = 0;; at++) {
        out->field = xgrow(out->field, &out->cap, out->n + 1, sizeof *out->field);
        out->field[out->n++] = next_field(row, n, &at, separator);
        if (at >= n) return 0;
        if (out->n == MOST_COLUMNS) return reason_set(why, "more than %d columns", MOST_COLUMNS);
    }
}

/* ---- the names ---- */

static bool named(const fields_t *names, const char *const *want, size_t n) {
    for (size_t i = 0; i < names->n; i++)
        for (size_t k = 0; k < n; k++)
            if (want[k] && !strcmp(names->field[i], want[k])) return true;
    return false;
}

bool text_table_header(const char *line, size_t n, const char *caption, bool is_named,
                       char *separator) {
    static const char *const images[] = {"image", "file_name", "filename", "image_file_name",
                                         "image_path"};
    const char *const words[] = {"caption",     "captions", "text", "sentences",
                                 "description", "question", caption};
    fields_t names;
    *separator = memchr(line, '\t', n) ? '\t' : ',';
    bool table = !split(line, n, *separator, &names, NULL) && named(&names, words, 7) &&
                 (is_named || named(&names, images, 5));
    fields_release(&names);
    return table;
}

/* ---- items ---- */

/* A row into s->line: lines until every quote is closed. false at the end. */
static bool read_row(text_source_t *s, char separator) {
    bool at_start = true, quoted = false;
    char *row = NULL;
    size_t n = 0, cap = 0;
    do {
        uint64_t number = s->number;
        if (!text_read_line(s)) {
            if (row)
                die(RC_DATA, "'%s': a quoted field before line %llu has no end", s->job->in,
                    (unsigned long long)number + 1);
            return false;
        }
        if (!row && text_blank(s->line, s->len)) continue;
        quoted = quoted_after(s->line, s->len, quoted, &at_start, separator);
        if (!row && !quoted) return true;
        if (n + s->len > ROW_MAX)
            die(RC_DATA, "'%s': the row before line %llu has more than 64 MB: is a quote missing?",
                s->job->in, (unsigned long long)number + 1);
        row = xgrow(row, &cap, n + s->len + 2, 1);
        memcpy(row + n, s->line, s->len);
        n += s->len;
        if (quoted) row[n++] = '\n';
        row[n] = 0;
    } while (quoted || !row);
    free(s->line);
    s->line = row;
    s->len = n;
    s->cap = cap;
    return true;
}

static void begin(text_source_t *s) {
    reason_t why;
    if (!s->columns) s->columns = NEW(text_columns_t);
    text_columns_t *c = s->columns;
    fields_release(&c->names);
    if (!text_read_line(s)) return;
    c->separator = memchr(s->line, '\t', s->len) ? '\t' : ',';
    if (split(s->line, s->len, c->separator, &c->names, &why))
        die(RC_DATA, "'%s': %s", s->job->in, why.text);
}

static bool next(text_source_t *s, text_item_t *out) {
    if (!read_row(s, s->columns->separator)) return false;
    if (out) text_item_set(out, s->number, s->line, s->len);
    return true;
}

static int parse(const text_source_t *s, text_item_t *t, reason_t *why) {
    const text_columns_t *c = s->columns;
    fields_t row;
    if (strlen(t->text) != t->len || utf8_check((const uint8_t *)t->text, t->len) != t->len)
        return reason_set(why, "no UTF-8");
    int rc = split(t->text, t->len, c->separator, &row, why);
    if (!rc && row.n != c->names.n)
        rc = reason_set(why, "%zu fields under %zu names", row.n, c->names.n);
    if (!rc) {
        cJSON *o = cJSON_CreateObject();
        if (!o) die(RC_RUNTIME, "out of memory (for a row)");
        for (size_t i = 0; i < row.n; i++)
            if (*row.field[i] && !cJSON_AddStringToObject(o, c->names.field[i], row.field[i]))
                die(RC_RUNTIME, "out of memory (for a row)");
        rc = caption_take(o, s->job->caption, &t->caption, why);
        cJSON_Delete(o);
    }
    fields_release(&row);
    return rc;
}

static void release(text_source_t *s) {
    fields_release(&s->columns->names);
    free(s->columns);
}

const text_format_t text_table = {.name = "csv",
                                  .what = "a table (CSV)",
                                  .begin = begin,
                                  .next = next,
                                  .parse = parse,
                                  .release = release};
