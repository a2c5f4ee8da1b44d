/* fuzz_csv.c - arbitrary bytes as a row of a table: its fields, written in quotes, read back as the
 * same fields and leave no quote open.
 */
#include "common/io/text/csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *written(const csv_t *c, size_t *n) {
    size_t most = 0;
    for (size_t i = 0; i < c->n; i++) most += 2 * strlen(c->field[i]) + 3;
    char *row = xmalloc(most + 1);
    *n = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (i) row[(*n)++] = ',';
        row[(*n)++] = '"';
        for (const char *p = c->field[i]; *p; p++) {
            if (*p == '"') row[(*n)++] = '"';
            row[(*n)++] = *p;
        }
        row[(*n)++] = '"';
    }
    return row;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    csv_t c, again;
    reason_t why = {""};
    bool at_start = true;
    if (csv_split((const char *)data, size, ',', &c, &why)) {
        if (!why.text[0] || c.field) BUG("refused without a reason, or with something left");
        return 0;
    }
    size_t n, bytes = 0;
    for (size_t i = 0; i < c.n; i++) bytes += strlen(c.field[i]);
    if (!c.n || bytes > size) BUG("%zu fields of %zu bytes out of %zu", c.n, bytes, size);
    char *row = written(&c, &n);
    if (csv_quoted_after(row, n, false, &at_start, ',')) BUG("a quote is left open");
    if (csv_split(row, n, ',', &again, &why) || again.n != c.n) BUG("other fields");
    for (size_t i = 0; i < c.n; i++)
        if (strcmp(c.field[i], again.field[i])) BUG("field %zu changes", i);
    free(row);
    csv_release(&c);
    csv_release(&again);
    return 0;
}
