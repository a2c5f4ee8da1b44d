/* csv.h - rows of a table as text, from anywhere.
 *
 * Fields stand between separators. A field that holds separators, quotes or line breaks stands in
 * double quotes, and quotes inside it are written twice.
 */
#ifndef IO_CSV_H
#define IO_CSV_H

#include "common/base/die.h"

/* The fields of a row: owned strings. Release with csv_release. */
typedef struct {
    char **field;
    size_t n, cap;
} csv_t;

/* Splits a row of n bytes (without the end of its line); an empty row has one empty field. 0, or -1
 * with a reason and *out empty: more than 10000 fields. */
int csv_split(const char *row, size_t n, char separator, csv_t *out, reason_t *why);
void csv_release(csv_t *c);

/* Is a quote open behind these n bytes? Then the row goes on in the next line.
 * quoted: was one open before them?
 * at_start: in, whether a field begins with them (true for a row's first line); out, whether one
 * begins behind them. */
bool csv_quoted_after(const char *text, size_t n, bool quoted, bool *at_start, char separator);

#endif
