/* text_format.h - what the files behind text_source.h share: one text_*.c per format, whose row
 * stands in text_formats. For those files only.
 */
#ifndef TOKENIZE_TEXT_FORMAT_H
#define TOKENIZE_TEXT_FORMAT_H

#include "common/io/text/byte_stream.h"
#include "common/io/text/json_stream.h"
#include "tokenize/text_source.h"

#include <xxhash.h>

typedef struct {
    const char *name; /* of --format; kept in shards */
    const char *what;
    /* Prepares for the first item, the input at its first byte; NULL = nothing to do. */
    void (*begin)(text_source_t *s);
    /* The next item; out NULL: passed over. false at the end. die()s on damage. */
    bool (*next)(text_source_t *s, text_item_t *out);
    /* Called once when all items are counted; NULL = nothing to do. */
    void (*counted)(text_source_t *s);
    /* By several threads at a time. */
    int (*parse)(const text_source_t *s, text_item_t *t, reason_t *why);
    void (*release)(text_source_t *s); /* NULL = nothing to do */
} text_format_t;

extern const text_format_t text_plain, text_jsonl, text_json, text_coco, text_vqa, text_table;

/* A file's bytes without the byte order mark; die()s when they are damaged. */
typedef struct {
    byte_stream_t *stream;
    const char *path;
    XXH64_state_t *hash; /* NULL = no longer needed */
    bool begun;
} text_bytes_t;
void text_bytes_open(text_bytes_t *b, const char *path, uint64_t seed);
size_t text_bytes_more(void *bytes, const char **p); /* a json_more_fn */
void text_bytes_restart(text_bytes_t *b);
/* The hash of all that was read; ends the hashing. */
uint64_t text_bytes_digest(text_bytes_t *b);
void text_bytes_close(text_bytes_t *b);

typedef struct coco_images coco_images_t;
typedef struct text_columns text_columns_t;

struct text_source {
    const job_t *job;
    const text_format_t *format;
    bool any_bytes; /* --format text: not only UTF-8 */
    bool counting;
    size_t count;
    uint64_t manifest, number;
    text_bytes_t in;
    /* lines, rows */
    const char *bytes;
    size_t n, at;
    char *line;
    size_t len, cap;
    /* JSON, but lines */
    json_stream_t json;
    const char *list; /* the member whose elements are the items; NULL = those of an array */
    coco_images_t *images;
    /* VQA */
    text_bytes_t answers;
    json_stream_t annotations;
    /* rows */
    text_columns_t *columns;
};

/* Which format: by the content, else the name. Leaves the input at its first byte. */
const text_format_t *text_detect(text_source_t *s);

/* The next line into s->line, s->len, without its end; counted in s->number. false at the end. */
bool text_read_line(text_source_t *s);
/* A copy of n bytes as an item's text. */
void text_item_set(text_item_t *out, uint64_t number, const char *text, size_t n);
/* Is the line nothing but white space? */
bool text_blank(const char *text, size_t n);

/* Are these the names of a table with captions or questions: separated by what *separator becomes?
 * named: the file is called a table. */
bool text_table_header(const char *line, size_t n, const char *caption, bool named,
                       char *separator);

#endif
