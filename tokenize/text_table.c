/* text_table.c - tables (metadata.csv): a line of names, then a row per item, separated by commas
 * or tabs; fields may stand in double quotes, with "" for a quote inside, and hold line breaks. A
 * row is taken as an object of its names; an empty field is absent.
 */
#include "tokenize/text_format.h"

#include "common/io/text/csv.h"
#include "common/io/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { ROW_MAX = 1 << 26 };

struct text_columns {
    csv_t names;
    char separator;
};

/* ---- the names ---- */

static bool named(const csv_t *names, const char *const *want, size_t n) {
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
    csv_t names;
    *separator = memchr(line, '\t', n) ? '\t' : ',';
    bool table = !csv_split(line, n, *separator, &names, NULL) && named(&names, words, 7) &&
                 (is_named || named(&names, images, 5));
    csv_release(&names);
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
        quoted = csv_quoted_after(s->line, s->len, quoted, &at_start, separator);
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
    csv_release(&c->names);
    if (!text_read_line(s)) return;
    c->separator = memchr(s->line, '\t', s->len) ? '\t' : ',';
    if (csv_split(s->line, s->len, c->separator, &c->names, &why))
        die(RC_DATA, "'%s': %s", s->job->in, why.text);
}

static bool next(text_source_t *s, text_item_t *out) {
    if (!read_row(s, s->columns->separator)) return false;
    if (out) text_item_set(out, s->number, s->line, s->len);
    return true;
}

static int parse(const text_source_t *s, text_item_t *t, reason_t *why) {
    const text_columns_t *c = s->columns;
    csv_t row;
    if (strlen(t->text) != t->len || utf8_check((const uint8_t *)t->text, t->len) != t->len)
        return reason_set(why, "no UTF-8");
    int rc = csv_split(t->text, t->len, c->separator, &row, why);
    if (!rc && row.n != c->names.n)
        rc = reason_set(why, "%zu fields under %zu names", row.n, c->names.n);
    if (!rc) {
        cJSON *o = cJSON_CreateObject();
        if (!o) die(RC_RUNTIME, "out of memory (for a row)");
        for (size_t i = 0; i < row.n; i++)
            if (*row.field[i] && !cJSON_AddStringToObject(o, c->names.field[i], row.field[i]))
                die(RC_RUNTIME, "out of memory (for a row)");
        rc = caption_from_json(o, s->job->caption, &t->caption, why);
        cJSON_Delete(o);
    }
    csv_release(&row);
    return rc;
}

static void release(text_source_t *s) {
    csv_release(&s->columns->names);
    free(s->columns);
}

const text_format_t text_table = {.name = "csv",
                                  .what = "a table (CSV)",
                                  .begin = begin,
                                  .next = next,
                                  .parse = parse,
                                  .release = release};
