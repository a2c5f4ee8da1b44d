/* archive.c - see archive.h. Members come from libarchive; this file makes samples of them. Words
 * and names of shards are in archive_words.c.
 */
#include "common/io/source/archive.h"

#ifdef WITH_LIBARCHIVE

#include "common/io/fs.h"
#include "common/io/hash_set.h"
#include "common/io/image/image_codec.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    BLOCK = 1 << 16,
    NAMES_MAX = 64,
    PEEK = ARCHIVE_HEAD,
    BLOCK_OF_TAR = 512,
    SIZE_AT = 124,
    TYPE_AT = 156,
    HEAD_MAX = 1 << 16
};

typedef enum { PART_IMAGE, PART_TEXT, PART_JSON, PART_LABEL, PART_OTHER } part_kind_t;

/* A member whose header has been read; the name is libarchive's until the next one. */
typedef struct {
    const char *name;
    size_t key; /* length */
    part_kind_t kind;
    char extension[16];
    const char *unread; /* the image format that is not read */
} member_t;

typedef enum { NEXT_MEMBER, NEXT_END, NEXT_DAMAGED } next_t;

struct archive_stream {
    char **path;
    size_t n, shard; /* shard: the one that is open, or is next */
    const uint8_t *bytes;
    size_t n_bytes;
    bool index;
    bool opened; /* the shard is */
    bool held;   /* member below is the first of the next sample */
    bool has;    /* there is a sample at hand */
    struct archive *a;
    struct archive_entry *entry;
    int fd; /* -1 = none of ours */
    uint64_t file_size;
    member_t member;
    archive_sample_t sample;
    char *raw; /* the sample's key as it stands in the shard */
    size_t raw_size, raw_cap;
    uint64_t name[NAMES_MAX]; /* hashes of its extensions */
    size_t n_names;
    hash_set_t seen;
};

/* ---- shards ---- */

static archive_stream_t *stream_new(char *const *path, size_t n, bool index) {
    archive_stream_t *s = NEW(archive_stream_t);
    s->path = xcalloc(n, sizeof *s->path);
    s->n = n;
    s->index = index;
    s->fd = -1;
    for (size_t i = 0; i < n; i++) s->path[i] = xstrdup(path[i]);
    return s;
}

archive_stream_t *archive_open(char *const *path, size_t n, bool index, int *rc, reason_t *why) {
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(path[i], "-") || access(path[i], R_OK) == 0) continue;
        *rc = errno == ENOENT || errno == ENOTDIR ? RC_USAGE : RC_DATA;
        reason_set(why, "cannot open '%s': %s", path[i], strerror(errno));
        return NULL;
    }
    return stream_new(path, n, index);
}

archive_stream_t *archive_open_bytes(const uint8_t *bytes, size_t size, int *rc, reason_t *why) {
    char *name = (char[]){"memory"};
    archive_stream_t *s = stream_new(&name, 1, false);
    s->bytes = bytes;
    s->n_bytes = size;
    return s;
}

static void close_shard(archive_stream_t *s) {
    if (s->a) archive_read_free(s->a);
    if (s->fd > 0) close(s->fd);
    s->a = NULL;
    s->fd = -1;
    s->opened = false;
    s->shard++;
}

static int open_file(archive_stream_t *s, reason_t *why) {
    struct stat st;
    const char *path = s->path[s->shard];
    s->fd = !strcmp(path, "-") ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st)) return reason_set(why, "cannot open: %s", strerror(errno));
    if (S_ISDIR(st.st_mode)) return reason_set(why, "a folder is no tar");
    s->file_size = (uint64_t)st.st_size;
    if (archive_read_open_fd(s->a, s->fd, BLOCK))
        return reason_set(why, "%s", archive_error_string(s->a));
    return 0;
}

static int open_shard(archive_stream_t *s, reason_t *why) {
    s->opened = true;
    s->a = archive_read_new();
    if (!s->a) die(RC_RUNTIME, "out of memory (for libarchive)");
    archive_read_support_format_tar(s->a);
    if (!s->index) { /* not all of libarchive's: some of them start other programs */
        archive_read_support_filter_gzip(s->a);
        archive_read_support_filter_bzip2(s->a);
        archive_read_support_filter_xz(s->a);
        archive_read_support_filter_zstd(s->a);
        archive_read_support_filter_lz4(s->a);
    }
    if (!s->bytes) return open_file(s, why);
    if (archive_read_open_memory(s->a, s->bytes, s->n_bytes))
        return reason_set(why, "%s", archive_error_string(s->a));
    return 0;
}

/* ---- members ---- */

/* A member's name as key, extension and kind. False: it has no key. */
static bool split_name(const char *name, member_t *m) {
    const char *slash = strrchr(name, '/');
    const char *base = slash ? slash + 1 : name;
    const char *dot = strchr(base, '.');
    size_t n = strlen(name);
    if (!slash && n > 3 && !strncmp(name, "__", 2) && !strcmp(name + n - 2, "__")) return false;
    if (!dot || dot == base) return false;
    *m = (member_t){.name = name, .key = (size_t)(dot - name), .kind = PART_OTHER};
    static const struct {
        const char *extension;
        part_kind_t kind;
    } used[] = {{"png", PART_IMAGE},  {"jpg", PART_IMAGE}, {"jpeg", PART_IMAGE},
                {"jfif", PART_IMAGE}, {"jpe", PART_IMAGE}, {"webp", PART_IMAGE},
                {"txt", PART_TEXT},   {"json", PART_JSON}, {"cls", PART_LABEL}};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        if (!strcasecmp(dot + 1, used[i].extension)) m->kind = used[i].kind;
    static const struct {
        const char *extension, *format;
    } unread[] = {{"gif", "GIF"},     {"tif", "TIFF"},      {"tiff", "TIFF"}, {"bmp", "BMP"},
                  {"avif", "AVIF"},   {"heic", "HEIC"},     {"heif", "HEIC"}, {"svg", "SVG"},
                  {"jxl", "JPEG XL"}, {"jp2", "JPEG 2000"}, {"ico", "ICO"},   {"exr", "OpenEXR"}};
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        if (!strcasecmp(dot + 1, unread[i].extension)) m->unread = unread[i].format;
    snprintf(m->extension, sizeof m->extension, "%s", dot + 1);
    return true;
}

/* libarchive cuts a name at a NUL. In an index the headers can be read again: an extended one with
 * a NUL inside is a defect. A header is a block of 512 bytes, its size in octal digits at 124, its
 * type at 156 ('x': extended); its content follows in whole blocks. */
static bool nul_in_headers(const archive_stream_t *s) {
    int64_t from = archive_read_header_position(s->a), to = archive_filter_bytes(s->a, 0);
    if (!s->index || to - from <= BLOCK_OF_TAR || to - from > HEAD_MAX) return false;
    uint8_t *head = xmalloc((size_t)(to - from));
    bool found = false;
    if (pread(s->fd, head, (size_t)(to - from), from) == (ssize_t)(to - from)) {
        for (int64_t at = 0; at + BLOCK_OF_TAR <= to - from;) {
            char digits[13] = {0};
            memcpy(digits, head + at + SIZE_AT, sizeof digits - 1);
            long long size = strtoll(digits, NULL, 8), room = to - from - at - BLOCK_OF_TAR;
            if (size < 0 || size > room) break;
            bool extended = head[at + TYPE_AT] == 'x';
            if (extended && memchr(head + at + BLOCK_OF_TAR, 0, (size_t)size)) found = true;
            at += BLOCK_OF_TAR + (size + BLOCK_OF_TAR - 1) / BLOCK_OF_TAR * BLOCK_OF_TAR;
        }
    }
    free(head);
    return found;
}

/* The next member with a key. */
static next_t next_member(archive_stream_t *s, reason_t *why) {
    if (!s->opened && open_shard(s, why)) return NEXT_DAMAGED;
    for (;;) {
        int rc = archive_read_next_header(s->a, &s->entry);
        if (rc == ARCHIVE_EOF) return NEXT_END;
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) {
            const char *said = archive_error_string(s->a);
            reason_set(why, "damaged tar: %s", said ? said : "no reason given");
            return NEXT_DAMAGED;
        }
        const char *name = archive_entry_pathname(s->entry);
        if (!name) name = archive_entry_pathname_utf8(s->entry);
        bool regular =
            archive_entry_filetype(s->entry) == AE_IFREG || archive_entry_hardlink(s->entry);
        if (nul_in_headers(s)) {
            reason_set(why, "damaged tar: a NUL in a name");
            return NEXT_DAMAGED;
        }
        if (name && regular && split_name(name, &s->member)) return NEXT_MEMBER;
    }
}

/* ---- samples ---- */

/* Marks the sample at hand as unusable. The first reason stands, but a defect outdoes
 * IMAGE_UNSUPPORTED. */
static void spoil(archive_stream_t *s, image_status_t status, const char *fmt, const char *detail) {
    archive_sample_t *p = &s->sample;
    if (p->status == IMAGE_BAD || p->status == status) return;
    p->status = status;
    reason_set(&p->why, fmt, detail);
}

/* No two samples of a stream have one key: shards are often numbered alike inside. */
static char *unique_key(archive_stream_t *s, const char *key, size_t n) {
    char *own = xasprintf("%.*s", (int)n, key);
    /* Numbers start at the shard's own: shards that are numbered alike inside would otherwise try
     * all that came before. */
    unsigned number = s->shard > 1 ? (unsigned)s->shard + 1 : 2;
    while (!hash_set_add(&s->seen, XXH64(own, strlen(own), 0))) {
        free(own);
        own = xasprintf("%.*s~%u", (int)n, key, number++);
    }
    return own;
}

static void begin(archive_stream_t *s, const char *key, size_t n) {
    s->sample = (archive_sample_t){.key = unique_key(s, key, n), .shard = s->shard};
    s->raw = xgrow(s->raw, &s->raw_cap, n + 1, 1);
    memcpy(s->raw, key, n);
    s->raw_size = n;
    s->has = true;
    s->n_names = 0;
}

static void keep_head(archive_stream_t *s, const uint8_t *bytes, size_t n) {
    s->sample.head_size = n < ARCHIVE_HEAD ? n : ARCHIVE_HEAD;
    memcpy(s->sample.head, bytes, s->sample.head_size);
}

/* Where the bytes stand. libarchive's position is behind the header: it is believed only when the
 * file has the same first bytes there. */
static void locate(archive_stream_t *s, archive_part_t *part) {
    uint8_t want[PEEK], got[PEEK];
    int64_t at = archive_filter_bytes(s->a, 0), size = archive_entry_size(s->entry);
    if (archive_filter_count(s->a) != 1) {
        spoil(s, IMAGE_BAD, "%s", "a packed tar cannot be read at random");
        return;
    }
    part->at = (uint64_t)at;
    part->size = (size_t)size;
    if (part->at > s->file_size || part->size > s->file_size - part->at) {
        spoil(s, IMAGE_BAD, "member '%s' is cut short", s->member.extension);
        return;
    }
    size_t n = part->size < PEEK ? part->size : PEEK;
    bool same =
        archive_read_data(s->a, want, n) == (la_ssize_t)n && pread(s->fd, got, n, at) == (ssize_t)n;
    if (!same || memcmp(want, got, n)) {
        spoil(s, IMAGE_BAD, "member '%s' is stored in pieces", s->member.extension);
        return;
    }
    if (part == &s->sample.image) keep_head(s, got, n);
}

static void load(archive_stream_t *s, archive_part_t *part, size_t max) {
    size_t cap = 0;
    for (;;) {
        part->bytes = xgrow(part->bytes, &cap, part->size + BLOCK + 1, 1);
        la_ssize_t n = archive_read_data(s->a, part->bytes + part->size, BLOCK);
        part->bytes[part->size + (n > 0 ? (size_t)n : 0)] = 0;
        if (n < 0) {
            spoil(s, IMAGE_BAD, "member '%s' is damaged or cut short", s->member.extension);
            return;
        }
        part->size += (size_t)n;
        if (part->size > max) {
            spoil(s, IMAGE_BAD, "member '%s' is too large", s->member.extension);
            return;
        }
        if (n == 0) return;
    }
}

/* Has the sample had this extension before? Compared in lower case; notes it. */
static bool extension_again(archive_stream_t *s) {
    char lower[256];
    const char *extension = s->member.name + s->member.key + 1;
    size_t n = strlen(extension);
    if (n > sizeof lower) n = sizeof lower;
    for (size_t i = 0; i < n; i++) {
        bool capital = extension[i] >= 'A' && extension[i] <= 'Z';
        lower[i] = capital ? (char)(extension[i] - 'A' + 'a') : extension[i];
    }
    uint64_t hash = XXH64(lower, n, 0);
    for (size_t i = 0; i < s->n_names; i++)
        if (s->name[i] == hash) return true;
    if (s->n_names < NAMES_MAX) s->name[s->n_names++] = hash;
    return false;
}

static void add(archive_stream_t *s) {
    static const size_t most[] = {ARCHIVE_IMAGE_MAX, ARCHIVE_TEXT_MAX, ARCHIVE_JSON_MAX,
                                  ARCHIVE_LABEL_MAX};
    archive_sample_t *p = &s->sample;
    archive_part_t *part[] = {&p->image, &p->text, &p->json, &p->label};
    const member_t *m = &s->member;
    bool again = extension_again(s);
    if (m->kind == PART_IMAGE && p->image.is) {
        spoil(s, IMAGE_UNSUPPORTED, "two images, the second is '%s'", m->extension);
        return;
    }
    if (again) {
        spoil(s, IMAGE_BAD, "extension '%s' comes twice", m->extension);
        return;
    }
    if (m->unread && !p->unread) p->unread = m->unread;
    if (m->kind == PART_OTHER) return;
    archive_part_t *to = part[m->kind];
    to->is = true;
    int64_t size = archive_entry_size(s->entry);
    if (archive_entry_hardlink(s->entry)) {
        spoil(s, IMAGE_BAD, "member '%s' is a hard link", m->extension);
        return;
    }
    if (archive_entry_sparse_count(s->entry) > 0) {
        spoil(s, IMAGE_BAD, "member '%s' is sparse", m->extension);
        return;
    }
    if (!archive_entry_size_is_set(s->entry) || size < 0) {
        spoil(s, IMAGE_BAD, "member '%s' has no size", m->extension);
        return;
    }
    if ((uint64_t)size > most[m->kind]) {
        spoil(s, IMAGE_BAD, "member '%s' is too large", m->extension);
        return;
    }
    if (s->index)
        locate(s, to);
    else
        load(s, to, most[m->kind]);
    if (!s->index && m->kind == PART_IMAGE) keep_head(s, to->bytes, to->size);
}

static bool emit(archive_stream_t *s, archive_sample_t *out) {
    if (!s->sample.image.is && s->sample.unread)
        spoil(s, IMAGE_UNSUPPORTED, "unsupported format: %s", s->sample.unread);
    else if (!s->sample.image.is)
        spoil(s, IMAGE_UNSUPPORTED, "no image (%s) among its members", "png, jpg, jpeg, webp");
    *out = s->sample;
    s->sample = (archive_sample_t){0};
    s->has = false;
    return true;
}

/* The shard ends here. */
static void damaged(archive_stream_t *s, const char *reason) {
    if (!s->has) {
        const char *path = s->bytes ? "memory" : s->path[s->shard], *slash = strrchr(path, '/');
        const char *name = !strcmp(path, "-") ? "stdin" : slash && slash[1] ? slash + 1 : path;
        begin(s, name, strlen(name));
    }
    s->sample.image.is = true; /* whether it had one will not be known */
    spoil(s, IMAGE_BAD, "%s", reason);
}

bool archive_next(archive_stream_t *s, archive_sample_t *out) {
    while (s->shard < s->n) {
        reason_t why = {""};
        next_t next = s->held ? NEXT_MEMBER : next_member(s, &why);
        s->held = false;
        if (next == NEXT_MEMBER) {
            const member_t *m = &s->member;
            if (s->has && (s->raw_size != m->key || memcmp(s->raw, m->name, m->key))) {
                s->held = true;
                return emit(s, out);
            }
            if (!s->has) begin(s, m->name, m->key);
            add(s);
            continue;
        }
        if (next == NEXT_DAMAGED) damaged(s, why.text);
        close_shard(s);
        if (s->has) return emit(s, out);
    }
    return false;
}

void archive_close(archive_stream_t *s) {
    if (!s) return;
    if (s->opened) close_shard(s);
    archive_sample_release(&s->sample);
    free(s->raw);
    for (size_t i = 0; i < s->n; i++) free(s->path[i]);
    free(s->path);
    hash_set_release(&s->seen);
    free(s);
}

#else /* built without libarchive: every archive is refused with the same words */

static archive_stream_t *refuse(int *rc, reason_t *why) {
    *rc = RC_RUNTIME;
    reason_set(why, "built without libarchive: WebDataset tars cannot be read (install libarchive "
                    "and build again)");
    return NULL;
}

archive_stream_t *archive_open(char *const *path, size_t n, bool index, int *rc, reason_t *why) {
    return refuse(rc, why);
}
archive_stream_t *archive_open_bytes(const uint8_t *bytes, size_t size, int *rc, reason_t *why) {
    return refuse(rc, why);
}
bool archive_next(archive_stream_t *a, archive_sample_t *s) {
    return false;
}
void archive_close(archive_stream_t *a) {}

#endif
