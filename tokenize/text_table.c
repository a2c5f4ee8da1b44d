/* text_table.c - tables (metadata.csv): a line of names, then a row per item, separated by commas
 * or tabs. Fields may stand in double quotes, with "" for a quote inside, and hold line breaks. A
 * row is parsed as an object with those names; an empty field counts as absent. Holds one row in
 * memory.
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

/* Is one of the n wanted names (NULL = none) among the columns? */
static bool has_any(const csv_t *columns, const char *const *wanted, size_t n) {
    for (size_t i = 0; i < columns->n; i++)
        for (size_t k = 0; k < n; k++)
            if (wanted[k] && !strcmp(columns->field[i], wanted[k])) return true;
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
    bool table = !csv_split(line, n, *separator, &names, NULL) && has_any(&names, words, 7) &&
                 (is_named || has_any(&names, images, 5));
    csv_release(&names);
    return table;
}

/* ---- items ---- */

/* Reads a row into source->line: lines until every quote is closed. false at the end. */
static bool read_row(text_source_t *source, char separator) {
    bool at_start = true, quoted = false;
    char *row = NULL;
    size_t n = 0, cap = 0;
    do {
        uint64_t number = source->number;
        if (!text_read_line(source)) {
            if (row)
                die(RC_DATA, "'%s': a quoted field before line %llu has no end", source->job->in,
                    (unsigned long long)number + 1);
            return false;
        }
        if (!row && text_blank(source->line, source->line_len)) continue;
        quoted = csv_quoted_after(source->line, source->line_len, quoted, &at_start, separator);
        if (!row && !quoted) return true;
        if (n + source->line_len > ROW_MAX)
            die(RC_DATA, "'%s': the row before line %llu has more than 64 MB: is a quote missing?",
                source->job->in, (unsigned long long)number + 1);
        row = xgrow(row, &cap, n + source->line_len + 2, 1);
        memcpy(row + n, source->line, source->line_len);
        n += source->line_len;
        if (quoted) row[n++] = '\n';
        row[n] = 0;
    } while (quoted || !row);
    free(source->line);
    source->line = row;
    source->line_len = n;
    source->line_cap = cap;
    return true;
}

static void begin(text_source_t *source) {
    reason_t why;
    if (!source->columns) source->columns = NEW(text_columns_t);
    text_columns_t *columns = source->columns;
    csv_release(&columns->names);
    if (!text_read_line(source)) return;
    columns->separator = memchr(source->line, '\t', source->line_len) ? '\t' : ',';
    if (csv_split(source->line, source->line_len, columns->separator, &columns->names, &why))
        die(RC_DATA, "'%s': %s", source->job->in, why.text);
}

static bool next(text_source_t *source, text_item_t *out) {
    if (!read_row(source, source->columns->separator)) return false;
    if (out) text_item_set(out, source->number, source->line, source->line_len);
    return true;
}

static int parse(const text_source_t *source, text_item_t *item, reason_t *why) {
    const text_columns_t *columns = source->columns;
    csv_t row;
    if (strlen(item->text) != item->len ||
        utf8_check((const uint8_t *)item->text, item->len) != item->len)
        return reason_set(why, "no UTF-8");
    int rc = csv_split(item->text, item->len, columns->separator, &row, why);
    if (!rc && row.n != columns->names.n)
        rc = reason_set(why, "%zu fields under %zu names", row.n, columns->names.n);
    if (!rc) {
        cJSON *o = cJSON_CreateObject();
        if (!o) die(RC_RUNTIME, "out of memory (for a row)");
        for (size_t i = 0; i < row.n; i++)
            if (*row.field[i] && !cJSON_AddStringToObject(o, columns->names.field[i], row.field[i]))
                die(RC_RUNTIME, "out of memory (for a row)");
        rc = caption_from_json(o, source->job->caption, &item->caption, why);
        cJSON_Delete(o);
    }
    csv_release(&row);
    return rc;
}

static void release(text_source_t *source) {
    csv_release(&source->columns->names);
    free(source->columns);
}

const text_format_t text_table = {.name = "csv",
                                  .what = "a table (CSV)",
                                  .begin = begin,
                                  .next = next,
                                  .parse = parse,
                                  .release = release};
