/* foreign_file.h - files that are not text, recognized by their first bytes, so that `tokenize
 * text` refuses them by name instead of storing their bytes.
 *
 * Knows magic numbers and the pattern of UTF-16 and UTF-32 without a mark; opens nothing. A new
 * kind is a row of the table in foreign_file.c and a row of its test.
 */
#ifndef TOKENIZE_FOREIGN_FILE_H
#define TOKENIZE_FOREIGN_FILE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *what;   /* "a Parquet file" */
    const char *advice; /* what to do instead */
} foreign_file_t;

/* The kind whose file begins with these n bytes; static storage. NULL: none that is known, so it
 * may be text. Give as many bytes as there are: a beginning of letters (such as "ORC") counts only
 * when what follows is not text. */
const foreign_file_t *foreign_file_detect(const uint8_t *head, size_t n);

#endif
