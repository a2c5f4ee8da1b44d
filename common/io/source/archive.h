/* archive.h - WebDataset shards read as a stream of samples, through libarchive: tar (ustar, pax,
 * GNU), plain or packed by gzip, bzip2, xz, zstd or lz4, from files one after another, from stdin,
 * or from memory. Nothing is ever written.
 *
 * A sample is what consecutive members with one key hold; the key is a member's path up to the
 * first dot of its last part, the extension the rest in lower case: "dir/0001.seg.png" is key
 * "dir/0001", extension "seg.png". Used are png, jpg, jpeg, webp (the image), txt (caption), json
 * and cls (class); other members only have a key. Not even that have: names without a dot or with
 * nothing before it, "__name__" at the top, whatever is no regular file.
 *
 * Defects belong to samples: hard links, sparse members, repeated extensions, members that are too
 * large or cut short. A shard whose structure is damaged ends there: the sample at hand is bad, or,
 * when there is none, one that bears the shard's name. What came before it, and the other shards,
 * are good.
 */
#ifndef IO_ARCHIVE_H
#define IO_ARCHIVE_H

#include "common/io/image/image.h"

/* Limits of a member's size, so that a packed nothing cannot fill the memory. */
enum {
    ARCHIVE_IMAGE_MAX = 1 << 28,
    ARCHIVE_JSON_MAX = 1 << 24,
    ARCHIVE_TEXT_MAX = 1 << 20,
    ARCHIVE_LABEL_MAX = 1 << 16,
    ARCHIVE_HEAD = 16
};

/* A member's content. In an index: where it stands in its shard's file, without the bytes. */
typedef struct {
    bool is;        /* there is one */
    uint8_t *bytes; /* owned; one NUL behind them. NULL in an index */
    size_t size;
    uint64_t at;
} archive_part_t;

typedef struct {
    /* Owned. A key that came before gets "~2", "~3" ...: no two samples of a stream share one. */
    char *key;
    size_t shard; /* its number */
    image_status_t
        /* IMAGE_OK: one image. IMAGE_UNSUPPORTED: none, or several. IMAGE_BAD: a defect */
        status;
    reason_t why;
    const char *unread; /* a member of an image format that is not read; NULL = none */
    /* The image's first bytes, by which its format is told. */
    uint8_t head[ARCHIVE_HEAD];
    size_t head_size;
    archive_part_t image, text, json, label;
} archive_sample_t;
void archive_sample_release(archive_sample_t *s);

typedef struct archive_stream archive_stream_t;
/* `path`: n shards, "-" is stdin; copied. index: plain tars only, contents are passed over and
 * located. NULL: *rc is RC_USAGE for a shard that is not there, RC_RUNTIME when built without
 * libarchive. */
archive_stream_t *archive_open(char *const *path, size_t n, bool index, int *rc, reason_t *why);
/* The same over bytes that must outlive it (for tests). */
archive_stream_t *archive_open_bytes(const uint8_t *bytes, size_t size, int *rc, reason_t *why);
/* False at the end. *s is the caller's to release. */
bool archive_next(archive_stream_t *a, archive_sample_t *s);
void archive_close(archive_stream_t *a);

/* Does the word name shards: "-", an existing file whose name or first bytes say tar, or braces
 * that end so? */
bool archive_is(const char *word);
/* Does a file's name say tar, plain or packed? */
bool archive_named(const char *name);
/* Its shards, in order: malloc'ed as braces_expand gives them. -1 with a reason. */
int archive_shards(const char *word, char ***path, size_t *n, reason_t *why);
/* Does a shard's file have to be read from its start: stdin, or packed? */
bool archive_is_stream(const char *path);

/* The words beside an image. Caption: the txt member without its last line break, else the first
 * caption of the json member (json_caption.h). Label: the cls member without white space around it.
 * Any bytes; malloc'ed, NULL when there is none. */
typedef struct {
    char *caption, *label;
    size_t caption_size, label_size;
} words_t;
/* From parts whose bytes are loaded. */
words_t words_of(const archive_part_t *text, const archive_part_t *json,
                 const archive_part_t *label);
void words_release(words_t *w);

#endif
