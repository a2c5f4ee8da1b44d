/* text_format.h - what the files behind text_source.h share. A format is one text_*.c: its row
 * here, and a place in the table of text_source.c. For those files only.
 */
#ifndef TOKENIZE_TEXT_FORMAT_H
#define TOKENIZE_TEXT_FORMAT_H

#include "common/io/text/byte_stream.h"
#include "common/io/text/json_stream.h"
#include "tokenize/text_source.h"

#include <xxhash.h>

/* A format of items. Functions that may be NULL have nothing to do then. */
typedef struct {
    const char *name; /* as --format takes it; kept in shards */
    const char *what; /* for people */
    /* Prepares for the first item, with the input at its first byte. May be NULL. */
    void (*begin)(text_source_t *source);
    /* Reads the next item; out NULL: passes over it. false at the end. die()s (3) on damage. */
    bool (*next)(text_source_t *source, text_item_t *out);
    /* Called once, when all items are counted. May be NULL. */
    void (*counted)(text_source_t *source);
    /* Fills item->caption; 0, or -1 with a reason. Called by several threads at a time. */
    int (*parse)(const text_source_t *source, text_item_t *item, reason_t *why);
    /* May be NULL. */
    void (*release)(text_source_t *source);
} text_format_t;

extern const text_format_t text_plain, text_jsonl, text_json, text_coco, text_vqa, text_table;

/* The bytes of a file, unpacked, without a byte order mark. All functions die() when they are
 * damaged (3). */
typedef struct {
    byte_stream_t *stream; /* NULL: not open */
    const char *path;
    XXH64_state_t *hash; /* NULL = no longer needed */
    bool begun;          /* the first bytes have been read */
} text_bytes_t;
/* die()s too when the file cannot be opened. seed: of the hash. */
void text_bytes_open(text_bytes_t *bytes, const char *path, uint64_t seed);
/* The next bytes, borrowed until the next call; returns how many, 0 at the end. A json_more_fn:
 * ctx is a text_bytes_t. */
size_t text_bytes_more(void *ctx, const char **p);
/* Back to the first byte. */
void text_bytes_restart(text_bytes_t *bytes);
/* The hash of all that was read since it was reset; ends the hashing. */
uint64_t text_bytes_digest(text_bytes_t *bytes);
void text_bytes_close(text_bytes_t *bytes);

typedef struct coco_images coco_images_t;
typedef struct text_columns text_columns_t;

struct text_source {
    const job_t *job;
    const text_format_t *format;
    bool any_bytes; /* --format text: not only UTF-8 */
    bool counting;  /* the first pass, which counts and checks */
    size_t count;
    uint64_t manifest;
    uint64_t number; /* of the last line, element or row that was read */
    text_bytes_t in;
    /* formats of lines and rows: the bytes at hand [chunk_size], how far they are read, and the
     * line that was read last [line_len], with a NUL behind it */
    const char *chunk;
    size_t chunk_size, chunk_at;
    char *line;
    size_t line_len, line_cap;
    /* formats of JSON elements */
    json_stream_t json;
    const char *list; /* the member whose elements are the items; NULL = those of an array */
    coco_images_t *images;
    /* VQA */
    text_bytes_t answers;
    json_stream_t annotations;
    /* tables */
    text_columns_t *columns;
};

/* Which format the input has: by its content, else its name. Leaves the input at its first byte.
 * die()s (3) when it is no text, (2) when another option is needed. */
const text_format_t *text_detect(text_source_t *source);

/* Reads the next line, without its end, into source->line and counts it in source->number. false at
 * the end. */
bool text_read_line(text_source_t *source);
/* Makes n bytes, copied, the item's text. */
void text_item_set(text_item_t *out, uint64_t number, const char *text, size_t n);
/* Is there nothing but white space? */
bool text_blank(const char *text, size_t n);

/* Is the line the header of a table with captions or questions? *separator becomes a tab or a
 * comma. caption: --caption, or NULL. is_named: the file's name says that it is a table, so a
 * column of images is not needed. */
bool text_table_header(const char *line, size_t n, const char *caption, bool is_named,
                       char *separator);

#endif
