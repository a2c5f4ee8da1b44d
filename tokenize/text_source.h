/* text_source.h - what `tokenize text` reads, one item after another: the lines of a text, JSON
 * lines, the elements of a JSON array, COCO's captions, VQA's questions with their annotations, the
 * rows of a table (text_format.h has the formats). --in may be packed by gzip or zstd, "-" for
 * stdin, or a pipe. Items are read as they are asked for; what a format holds in memory it says.
 */
#ifndef TOKENIZE_TEXT_SOURCE_H
#define TOKENIZE_TEXT_SOURCE_H

#include "tokenize/caption.h"
#include "tokenize/job.h"

typedef struct {
    uint64_t number; /* of the line, element or row, from 1; of VQA's question, from 0 */
    char *text;      /* as it stands in the file, one NUL behind it; owned; any bytes */
    size_t len;
    char *answer; /* VQA: its annotation; owned */
    size_t answer_len;
    caption_t caption; /* after text_source_parse */
} text_item_t;
void text_item_release(text_item_t *t);

typedef struct text_source text_source_t;

/* Finds out the format (--format, --answers, the content, and the name where the content leaves it
 * open), counts the items and hashes the input. die()s: no such format or file (2); unreadable,
 * damaged, or nothing that is text (3), with what it looks like and what to do. */
text_source_t *text_source_open(const job_t *j);
void text_source_close(text_source_t *s);
/* As --format takes it ("jsonl"), and for people ("JSON lines"). */
const char *text_source_format(const text_source_t *s);
const char *text_source_what(const text_source_t *s);
size_t text_source_count(const text_source_t *s);
uint64_t text_source_manifest(const text_source_t *s);
/* Passes over n items. */
void text_source_skip(text_source_t *s, size_t n);
/* The next item; die()s (3) when there is none: the file changed. */
void text_source_next(text_source_t *s, text_item_t *out);
/* Fills t->caption; -1 with a reason. Items may be parsed by several threads at a time. */
int text_source_parse(const text_source_t *s, text_item_t *t, reason_t *why);

#endif
