/* image_source_tar.c - WebDataset tars as an image source: indexed once from front to back, then
 * read at random.
 *
 * Every sample is an item, also those that cannot be used: reading them gives the reason. A read
 * opens the shard, checks by size and time that it is the one that was indexed, and takes the
 * image's bytes from where they stand. No descriptor stays open.
 */
#include "common/io/image/image_codec.h"
#include "common/io/source/archive.h"
#include "common/io/source/braces.h"
#include "common/io/source/image_source_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Where a member's content stands in its shard. Sizes are capped by ARCHIVE_IMAGE_MAX. */
typedef struct {
    uint64_t at;
    uint32_t size, is; /* is: there is such a member */
} place_t;

typedef struct {
    size_t key, why; /* offsets into text; why 0 = none */
    uint32_t shard;
    int32_t status;
    place_t image, text, json, label;
} item_t;

typedef struct {
    uint64_t size;
    int64_t mtime; /* ns */
    char *path;    /* absolute where the system tells */
} stamp_t;

typedef struct {
    char **path;
    size_t n_shards;
    stamp_t *stamp;
    item_t *item;
    size_t n, cap;
    char *text;
    size_t n_text, cap_text;
} tar_t;

static int64_t mtime_of(const struct stat *st) {
    return st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static const char *tar_key(void *self, size_t i) {
    const tar_t *t = self;
    return t->text + t->item[i].key;
}

static uint64_t tar_size(void *self, size_t i) {
    const item_t *it = &((const tar_t *)self)->item[i];
    uint64_t sizes[] = {it->image.size, it->text.size, it->json.size, it->label.size};
    return XXH64(sizes, sizeof sizes, 0);
}

/* ---- reading ---- */

static bool tar_stamp(void *self, size_t i, uint64_t stamp[2]) {
    const tar_t *t = self;
    const item_t *it = &t->item[i];
    const stamp_t *known = &t->stamp[it->shard];
    char place[48];
    struct stat st;
    if (it->status != IMAGE_OK || stat(t->path[it->shard], &st) != 0) return false;
    if ((uint64_t)st.st_size != known->size || mtime_of(&st) != known->mtime) return false;
    snprintf(place, sizeof place, "%llu+%llu", (unsigned long long)it->image.at,
             (unsigned long long)it->image.size);
    stamp_of(stamp, known->path, place, &st);
    return true;
}

static int open_shard(const tar_t *t, const item_t *it, reason_t *why) {
    struct stat st;
    const stamp_t *known = &t->stamp[it->shard];
    int fd = open(t->path[it->shard], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return reason_set(why, "cannot open '%s': %s", t->path[it->shard], strerror(errno));
    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == known->size && mtime_of(&st) == known->mtime)
        return fd;
    close(fd);
    return reason_set(why, "'%s' changed since it was indexed", t->path[it->shard]);
}

/* The content, malloc'ed, one NUL behind it. NULL with a reason. */
static uint8_t *read_place(int fd, const place_t *p, reason_t *why) {
    uint8_t *bytes = xmalloc((size_t)p->size + 1);
    size_t done = 0;
    while (done < p->size) {
        ssize_t n = pread(fd, bytes + done, p->size - done, (off_t)(p->at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            reason_set(why, "cannot read: %s", n ? strerror(errno) : "it ends early");
            free(bytes);
            return NULL;
        }
        done += (size_t)n;
    }
    bytes[done] = 0;
    return bytes;
}

static image_status_t tar_read(void *self, size_t i, image_t *out, const image_opts_t *o,
                               reason_t *why) {
    const tar_t *t = self;
    const item_t *it = &t->item[i];
    image_status_t status = IMAGE_BAD;
    if (it->status != IMAGE_OK) {
        reason_set(why, "%s", t->text + it->why);
        return (image_status_t)it->status;
    }
    int fd = open_shard(t, it, why);
    if (fd < 0) return IMAGE_BAD;
    uint8_t *bytes = read_place(fd, &it->image, why);
    if (bytes) status = image_decode(out, bytes, it->image.size, o, why);
    free(bytes);
    close(fd);
    return status;
}

static int load_part(int fd, const place_t *p, archive_part_t *part, reason_t *why) {
    if (!p->is) return 0;
    *part = (archive_part_t){.is = true, .bytes = read_place(fd, p, why), .size = p->size};
    return part->bytes ? 0 : -1;
}

static int tar_words(void *self, size_t i, words_t *out, reason_t *why) {
    const tar_t *t = self;
    const item_t *it = &t->item[i];
    archive_part_t text = {0}, json = {0}, label = {0};
    *out = (words_t){0};
    if (it->status != IMAGE_OK || !(it->text.is || it->json.is || it->label.is)) return 0;
    int fd = open_shard(t, it, why);
    if (fd < 0) return -1;
    int rc = load_part(fd, &it->text, &text, why) || load_part(fd, &it->json, &json, why) ||
             load_part(fd, &it->label, &label, why);
    close(fd);
    if (!rc) rc = words_of(out, &text, &json, &label, why);
    free(text.bytes);
    free(json.bytes);
    free(label.bytes);
    return rc ? -1 : 0;
}

static void tar_close(void *self) {
    tar_t *t = self;
    braces_free(t->path, t->n_shards);
    for (size_t i = 0; t->stamp && i < t->n_shards; i++) free(t->stamp[i].path);
    free(t->stamp);
    free(t->item);
    free(t->text);
    free(t);
}

/* ---- index ---- */

static size_t put_text(tar_t *t, const char *text) {
    size_t at = t->n_text, n = strlen(text) + 1;
    t->text = xgrow(t->text, &t->cap_text, at + n, 1);
    memcpy(t->text + at, text, n);
    t->n_text += n;
    return at;
}

static place_t place_of(const archive_part_t *p) {
    return (place_t){p->at, (uint32_t)p->size, p->is};
}

static void put_item(tar_t *t, const archive_sample_t *s) {
    t->item = xgrow(t->item, &t->cap, t->n + 1, sizeof *t->item);
    item_t *it = &t->item[t->n++];
    *it = (item_t){.key = put_text(t, s->key),
                   .shard = (uint32_t)s->shard,
                   .status = s->status,
                   .image = place_of(&s->image),
                   .text = place_of(&s->text),
                   .json = place_of(&s->json),
                   .label = place_of(&s->label)};
    if (s->status) it->why = put_text(t, s->why.text);
}

/* Sizes and times before the index: a shard that changes meanwhile is noticed by the first read.
 * *hash is of the sizes. -1 with a reason. */
static int stamp_shards(tar_t *t, uint64_t *hash, reason_t *why) {
    t->stamp = xcalloc(t->n_shards, sizeof *t->stamp);
    for (size_t i = 0; i < t->n_shards; i++) {
        struct stat st;
        const char *path = t->path[i];
        if (stat(path, &st)) return reason_set(why, "cannot open '%s': %s", path, cause_of(errno));
        if (archive_is_stream(path))
            return reason_set(why,
                              "'%s' is a packed tar or no file, which can only be read from its "
                              "start (by 'tokenize images'): unpack it to a plain .tar first",
                              path);
        char *absolute = realpath(path, NULL);
        t->stamp[i] = (stamp_t){.size = (uint64_t)st.st_size,
                                .mtime = mtime_of(&st),
                                .path = absolute ? absolute : xstrdup(path)};
        uint64_t part[2] = {*hash, t->stamp[i].size};
        *hash = XXH64(part, sizeof part, 0);
    }
    return 0;
}

void image_tar_count(source_counts_t *c, const archive_sample_t *s) {
    const char *format;
    if (s->status == IMAGE_BAD) {
        c->damaged++;
    } else if (s->status == IMAGE_UNSUPPORTED && !s->image.is && s->unread) {
        found_unread(c, s->unread);
    } else if (s->status == IMAGE_UNSUPPORTED) {
        c->imageless++;
    } else if (image_sniff(s->head, s->head_size, &format) == FORMAT_OTHER) {
        found_unread(c, format);
    } else {
        c->images++;
        found_item(c, s->head, s->head_size);
    }
}

static int index_shards(image_source_t *s, tar_t *t, int *rc, reason_t *why) {
    archive_sample_t sample;
    archive_stream_t *a = archive_open(t->path, t->n_shards, true, rc, why);
    if (!a) return -1;
    while (archive_next(a, &sample)) {
        put_item(t, &sample);
        image_tar_count(&s->counts, &sample);
        archive_sample_release(&sample);
    }
    archive_close(a);
    if (s->counts.images) return 0;
    return reason_set(why,
                      "no images found under '%s' (looked for " IMAGE_ENDINGS
                      "): %zu samples without one image, %zu damaged%s%s",
                      s->spec, t->n - s->counts.damaged, s->counts.damaged,
                      t->n ? "; the first: " : "", t->n ? t->text + t->item[0].why : "");
}

static int tar_open(image_source_t *s, int *rc, reason_t *why) {
    reason_t cause;
    tar_t *t = NEW(tar_t);
    s->self = t;
    *rc = RC_USAGE;
    if (!strcmp(s->spec, "-"))
        return reason_set(why, "stdin can only be read by 'tokenize images'");
    if (archive_shards(s->spec, &t->path, &t->n_shards, &cause))
        return reason_set(why, "'%s': %s", s->spec, cause.text);
    if (stamp_shards(t, &s->stamp, why)) return -1;
    *rc = RC_DATA;
    if (index_shards(s, t, rc, why)) return -1;
    s->count = t->n;
    return 0;
}

const image_source_kind_t image_source_tar = {
    .needs = "a WebDataset tar",
    .probe = archive_is,
    .open = tar_open,
    .close = tar_close,
    .key = tar_key,
    .size = tar_size,
    .read = tar_read,
    .stamp = tar_stamp,
    .words = tar_words,
};
