/* archive.h - WebDataset tars, read as a stream of samples through libarchive. Nothing is ever
 * written.
 *
 * Tars may be ustar, pax or GNU, plain or packed by gzip, bzip2, xz, zstd or lz4. They come from
 * files, one after another, from stdin, or from memory. Each such tar is called a shard here, as
 * WebDataset does.
 *
 * A sample is a run of members with one key. The path of a member is cut at the first dot behind
 * its last slash: "dir/0001.seg.png" has the key "dir/0001" and the extension "seg.png".
 *
 *     extension             what it gives the sample
 *     png jpg jpeg webp     the image
 *     txt                   the caption
 *     json                  a caption too, if there is no txt
 *     cls                   the class label
 *     any other             nothing; it still belongs to the sample
 *
 * The case of an extension does not matter. Members without a key are passed over: names without a
 * dot or with nothing before it, "__name__" at the top, and all that is no regular file.
 *
 * A defect spoils its sample alone: a hard link, a sparse member, an extension that comes twice, a
 * member that is too large or cut short. Where the structure of a tar is damaged, the tar ends. The
 * sample at hand is then bad; if there is none, a bad sample with the tar's name as its key takes
 * its place. Samples before it and other tars stay good.
 */
#ifndef IO_ARCHIVE_H
#define IO_ARCHIVE_H

#include "common/io/image/image.h"

enum {
    /* The largest members in bytes, so that a small packed tar cannot fill the memory. */
    ARCHIVE_IMAGE_MAX = 1 << 28,
    ARCHIVE_JSON_MAX = 1 << 24,
    ARCHIVE_TEXT_MAX = 1 << 20,
    ARCHIVE_LABEL_MAX = 1 << 16,
    ARCHIVE_HEAD = 16 /* first bytes of an image that are kept */
};

/* The content of a member. An index holds the place in the shard's file instead of the bytes. */
typedef struct {
    bool is;        /* the sample has such a member */
    uint8_t *bytes; /* owned, one NUL behind them; NULL in an index */
    size_t size;
    uint64_t at; /* in an index: offset in the shard's file */
} archive_part_t;

typedef struct {
    /* Owned. A key that came before gets "~2", "~3", ...: no two samples of a stream share one. */
    char *key;
    size_t shard; /* the number of its shard */
    /* IMAGE_OK: one image. IMAGE_UNSUPPORTED: none, or several. IMAGE_BAD: a defect. */
    image_status_t status;
    reason_t why;       /* unless IMAGE_OK */
    const char *unread; /* the format of an image that is not read ("GIF"), static; NULL = none */
    /* The image's first bytes: its format can be told by them. */
    uint8_t head[ARCHIVE_HEAD];
    size_t head_size;
    archive_part_t image, text, json, label;
} archive_sample_t;

/* Frees what the sample owns; *s is then empty. */
void archive_sample_release(archive_sample_t *s);

typedef struct archive_stream archive_stream_t;
/* Opens n shards; "-" is stdin; the paths are copied. index: only plain tars, whose members are
 * located and not loaded. NULL with a reason: *rc is RC_USAGE for a shard that is not there,
 * RC_DATA for one that cannot be read, RC_RUNTIME when built without libarchive. */
archive_stream_t *archive_open(char *const *path, size_t n, bool index, int *rc, reason_t *why);
/* The same over the bytes of one tar, which must outlive it (for tests). */
archive_stream_t *archive_open_bytes(const uint8_t *bytes, size_t size, int *rc, reason_t *why);
/* Moves the next sample to *s, for the caller to release. False at the end. */
bool archive_next(archive_stream_t *a, archive_sample_t *s);
void archive_close(archive_stream_t *a);

/* ---- the names of shards ---- */

/* Does the word name shards? "-", an existing file whose name or first bytes are those of a tar, or
 * braces (braces.h) whose end is that of a tar. */
bool archive_is(const char *word);
/* Is a file's name that of a tar, plain or packed? */
bool archive_named(const char *name);
/* The shards that a word names, in order: for braces_free. 0, or -1 with a reason. */
int archive_shards(const char *word, char ***path, size_t *n, reason_t *why);
/* Can a shard only be read from its start? stdin, other than regular files, and packed tars. */
bool archive_is_stream(const char *path);

/* ---- captions and labels ---- */

/* The words beside an image, each malloc'ed, NULL when there is none. The caption is the
 * txt member without its last line break, else the first caption of the json member
 * (json_caption.h). The label is the cls member without white space around it. */
typedef struct {
    char *caption, *label;
    size_t caption_size, label_size; /* bytes */
} words_t;
/* From parts whose bytes are loaded. -1 with a reason and no words: a txt that is no UTF-8 text (a
 * byte order mark is skipped), or in its absence a json that is none. */
int words_of(words_t *out, const archive_part_t *text, const archive_part_t *json,
             const archive_part_t *label, reason_t *why);
void words_release(words_t *w);

#endif
