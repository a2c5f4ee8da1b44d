/* text_source.h - what `tokenize text` reads, one item after another: the lines of a text file,
 * JSON lines (caption.h), or the questions and annotations of VQA. Lines that are empty or blank
 * are no items.
 */
#ifndef TOKENIZE_TEXT_SOURCE_H
#define TOKENIZE_TEXT_SOURCE_H

#include "tokenize/caption.h"
#include "tokenize/job.h"

typedef enum { FORMAT_TEXT, FORMAT_JSONL, FORMAT_VQA } text_format_t;

typedef struct {
    uint64_t number; /* of the line, from 1; of the question, from 0 */
    char *line;      /* of files of lines, without its end; owned; any bytes */
    size_t len;
    caption_t caption; /* of VQA */
} text_item_t;
void text_item_release(text_item_t *t);

typedef struct text_source text_source_t;

/* Finds out the format (--format, --answers, the name, the first line), counts the items and hashes
 * the input. die()s: no such format (2), unreadable or questions and answers out of step, with the
 * index (3). */
text_source_t *text_source_open(const job_t *j);
void text_source_close(text_source_t *s);
text_format_t text_source_format(const text_source_t *s);
size_t text_source_count(const text_source_t *s);
uint64_t text_source_manifest(const text_source_t *s);
/* Passes over n items. */
void text_source_skip(text_source_t *s, size_t n);
/* The next item; die()s (3) when there is none: the file changed. */
void text_source_next(text_source_t *s, text_item_t *out);

#endif
