/* csv.h - rows of a table as text: fields between separators, in double quotes where they hold
 * separators, quotes (written twice) or line breaks. Foreign bytes.
 */
#ifndef IO_CSV_H
#define IO_CSV_H

#include "common/base/die.h"

typedef struct {
    char **field; /* each owned, one NUL behind it */
    size_t n, cap;
} csv_t;

/* The fields of a row of n bytes; an empty row has one. -1 with a reason: more than 10000. */
int csv_split(const char *row, size_t n, char separator, csv_t *out, reason_t *why);
void csv_release(csv_t *c);

/* Is a quote open behind these n bytes (of a line without its end)? `quoted`: was one before them;
 * *at_start: does a field begin with them (true at first). Then the row goes on in the next
 * line. */
bool csv_quoted_after(const char *text, size_t n, bool quoted, bool *at_start, char separator);

#endif
