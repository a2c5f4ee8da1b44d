/* text_source.h - what `tokenize text` reads, item by item: the lines of a text, JSON lines, the
 * elements of a JSON array, COCO's captions, VQA's questions with their annotations, the rows of a
 * table.
 *
 * --in may be packed by gzip or zstd, "-" for stdin, or a pipe. Items are read one at a time, in
 * order; what a format must hold in memory, its file says (text_format.h). Damage of the file ends
 * the program; a bad item is the caller's to report.
 */
#ifndef TOKENIZE_TEXT_SOURCE_H
#define TOKENIZE_TEXT_SOURCE_H

#include "tokenize/caption.h"
#include "tokenize/job.h"

typedef struct {
    uint64_t number; /* of the line, element or row, from 1; of VQA's question, from 0 */
    char *text;      /* as it stands in the file, any bytes, with a NUL behind it; owned */
    size_t len;
    char *answer; /* VQA: the annotation as it stands in its file; owned. Else NULL */
    size_t answer_len;
    caption_t caption; /* filled by text_source_parse */
} text_item_t;
void text_item_release(text_item_t *item);

typedef struct text_source text_source_t;

/* Opens job->in, finds its format (--format, --answers, the content; the name where the content
 * leaves it open), counts the items and hashes the input. The job must outlive the source. die()s:
 * no such format or file (2); unreadable, damaged or no text (3), with what the file looks like and
 * what to do. */
text_source_t *text_source_open_or_die(const job_t *job);
void text_source_close(text_source_t *source);

/* The format as --format takes it ("jsonl"), and for people ("JSON lines"); static storage. */
const char *text_source_format(const text_source_t *source);
const char *text_source_what(const text_source_t *source);
/* How many items there are. */
size_t text_source_count(const text_source_t *source);
/* A hash of the format and of all bytes: the same for the same input under another path. */
uint64_t text_source_manifest(const text_source_t *source);

/* Passes over n items. die()s (3) when there are fewer: the file has changed. */
void text_source_skip(text_source_t *source, size_t n);
/* Reads the next item; the caller releases it. die()s (3) when there is none. */
void text_source_next(text_source_t *source, text_item_t *out);
/* Parses the item's text into item->caption. Returns 0, or -1 with a reason. Several threads may
 * parse items at a time. */
int text_source_parse(const text_source_t *source, text_item_t *item, reason_t *why);

#endif
