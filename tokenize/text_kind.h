/* text_kind.h - what a file looks like that is no text: by its first bytes, so that nothing is
 * tokenized as text that only its owner knows to be something else.
 */
#ifndef TOKENIZE_TEXT_KIND_H
#define TOKENIZE_TEXT_KIND_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *what;   /* "a Parquet file" */
    const char *advice; /* what to do instead */
} text_kind_t;

/* NULL: nothing that is known; it may be text. n bytes of the beginning, the more
 * the better: what begins like one of the kinds and goes on as text is text. */
const text_kind_t *text_kind(const uint8_t *head, size_t n);

#endif
