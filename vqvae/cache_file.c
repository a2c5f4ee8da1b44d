/* cache_file.c - see cache_file.h. */
#include "vqvae/cache_file.h"

#include "common/base/sizes.h"
#include "common/io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- what stands in the file ---- */

enum { VERSION = 1, CHUNK_IMAGES = 64, ALIGN = 8, SIDE_MAX = 1 << 20 };
/* A chunk is written when its pixels have come to this. */
static const size_t chunk_bytes = (size_t)8 << 20;
/* What is left free on the disk: a checkpoint must still fit. */
static const uint64_t reserve_bytes = (uint64_t)1 << 30;

static const char file_magic[8] = "imgcache", chunk_magic[4] = "imgs";

typedef struct {
    char magic[8];
    uint32_t version, zero;
} file_head_t;

/* Before its entries, behind which its pixels stand. */
typedef struct {
    char magic[4];
    uint32_t n;     /* entries */
    uint64_t bytes; /* of the pixels */
    uint64_t check; /* XXH3-64 of the entries, seed n + bytes */
} chunk_head_t;

typedef struct {
    uint64_t key[2];
    uint64_t at;    /* its pixels, from the first of the chunk */
    uint64_t check; /* XXH3-64 of its pixels */
    uint32_t w, h;
    uint32_t noticed, zero;
} entry_t;

_Static_assert(sizeof(file_head_t) == 16 && sizeof(chunk_head_t) == 24 && sizeof(entry_t) == 48,
               "the file's layout");

/* ---- the open file ---- */

struct cache_file {
    char *path;
    int fd;
    bool writes, told_damage;
    pthread_mutex_t mutex; /* of all below */
    uint64_t end;          /* of the last whole chunk that is known */
    /* The index: open addressing by key; `at` is an offset in the file here. w 0 = free, h 0 =
     * forgotten. */
    entry_t *slot;
    size_t n, cap; /* cap is a power of two */
    /* What was put and is not written yet. */
    entry_t pending[CHUNK_IMAGES];
    uint8_t *pixels;
    size_t n_pending, n_pixels, cap_pixels;
    size_t added;
};

static size_t pixel_bytes(const entry_t *e) {
    return (size_t)e->w * e->h * 3;
}

/* ---- index ---- */

static bool same_key(const uint64_t a[2], const uint64_t b[2]) {
    return a[0] == b[0] && a[1] == b[1];
}

/* The slot of a key, or the free one where it would stand. */
static entry_t *slot_of(const cache_file_t *f, const uint64_t key[2]) {
    size_t i = (size_t)key[0] & (f->cap - 1);
    while (f->slot[i].w && !same_key(f->slot[i].key, key)) i = (i + 1) & (f->cap - 1);
    return &f->slot[i];
}

static bool is_there(const entry_t *e) {
    return e->w && e->h;
}

static void grow(cache_file_t *f) {
    size_t cap = f->cap;
    entry_t *old = f->slot;
    f->cap = cap ? 2 * cap : 1024;
    f->slot = xcalloc(f->cap, sizeof *f->slot);
    for (size_t i = 0; i < cap; i++)
        if (old[i].w) *slot_of(f, old[i].key) = old[i];
    free(old);
}

/* A later entry of a key takes the place of an earlier one: that was found damaged. */
static void remember(cache_file_t *f, const entry_t *e, uint64_t pixels_at) {
    if (2 * (f->n + 1) > f->cap) grow(f);
    entry_t *slot = slot_of(f, e->key);
    f->n += !slot->w;
    *slot = *e;
    slot->at += pixels_at;
}

/* ---- bytes ---- */

static bool read_at(int fd, void *to, size_t n, uint64_t at) {
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, (char *)to + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

static bool write_at(int fd, const void *from, size_t n, uint64_t at) {
    for (size_t done = 0; done < n;) {
        ssize_t put = pwrite(fd, (const char *)from + done, n - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        done += (size_t)put;
    }
    return true;
}

static void lock(const cache_file_t *f) {
    while (flock(f->fd, f->writes ? LOCK_EX : LOCK_SH)) {
        if (errno == EINTR) continue;
        lock_warn_unsupported(f->path, errno); /* checksums still tell what is whole */
        return;
    }
}

static void unlock(const cache_file_t *f) {
    flock(f->fd, LOCK_UN);
}

static uint64_t file_size(const cache_file_t *f) {
    struct stat st;
    return fstat(f->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---- chunks ---- */

static uint64_t check_of(const chunk_head_t *head, const entry_t *entry) {
    return XXH3_64bits_withSeed(entry, head->n * sizeof *entry, head->n + head->bytes);
}

static bool is_sane(const entry_t *e, uint64_t bytes) {
    return e->w && e->h && e->w <= SIDE_MAX && e->h <= SIDE_MAX && e->at <= bytes &&
           pixel_bytes(e) <= bytes - e->at;
}

typedef enum { CHUNK_NONE, CHUNK_WHOLE, CHUNK_CUT, CHUNK_DAMAGED } chunk_t;

/* The chunk at f->end, which it moves behind a whole one. CHUNK_CUT: it goes beyond the file's end,
 * as a writer that was killed leaves it. */
static chunk_t read_chunk(cache_file_t *f, uint64_t size) {
    chunk_head_t head;
    entry_t entry[CHUNK_IMAGES];
    uint64_t left = size > f->end ? size - f->end : 0;
    if (!left) return CHUNK_NONE;
    if (left < sizeof head) return CHUNK_CUT;
    if (!read_at(f->fd, &head, sizeof head, f->end)) return CHUNK_DAMAGED;
    if (memcmp(head.magic, chunk_magic, sizeof head.magic) || !head.n || head.n > CHUNK_IMAGES)
        return CHUNK_DAMAGED;
    size_t entries = head.n * sizeof *entry;
    uint64_t pixels_at = f->end + sizeof head + entries;
    if (left < sizeof head + entries) return CHUNK_CUT;
    if (!read_at(f->fd, entry, entries, f->end + sizeof head) ||
        check_of(&head, entry) != head.check)
        return CHUNK_DAMAGED;
    if (left - sizeof head - entries < head.bytes) return CHUNK_CUT;
    for (size_t i = 0; i < head.n; i++)
        if (!is_sane(&entry[i], head.bytes)) return CHUNK_DAMAGED;
    for (size_t i = 0; i < head.n; i++) remember(f, &entry[i], pixels_at);
    f->end = pixels_at + head.bytes;
    return CHUNK_WHOLE;
}

/* From now on the file is only read. */
static void give_up(cache_file_t *f, const char *why) {
    warn("'%s': %s: no more images are added to it", f->path, why);
    f->writes = false;
}

static void tell_damage(cache_file_t *f, const char *what) {
    if (!f->told_damage) warn("'%s' is damaged: %s", f->path, what);
    f->told_damage = true;
}

/* Learns what other processes have added, and cuts off what is not whole. Under the lock. */
static void read_chunks(cache_file_t *f) {
    chunk_t last;
    uint64_t size = file_size(f);
    do last = read_chunk(f, size);
    while (last == CHUNK_WHOLE);
    if (last == CHUNK_NONE) return;
    if (last == CHUNK_DAMAGED) tell_damage(f, "images from the damage on are decoded anew");
    if (f->writes && ftruncate(f->fd, (off_t)f->end)) give_up(f, cause_of(errno));
}

/* ---- opening ---- */

static int start(cache_file_t *f, reason_t *why) {
    file_head_t head = {.version = VERSION};
    memcpy(head.magic, file_magic, sizeof head.magic);
    if (ftruncate(f->fd, 0) || !write_at(f->fd, &head, sizeof head, 0))
        return reason_set(why, "cannot write '%s': %s", f->path, cause_of(errno));
    return 0;
}

/* Under the lock. */
static int read_file(cache_file_t *f, int *rc, reason_t *why) {
    file_head_t head;
    uint64_t size = file_size(f);
    bool begun =
        size < sizeof head && read_at(f->fd, &head, size, 0) &&
        !memcmp(head.magic, file_magic, size < sizeof head.magic ? size : sizeof head.magic);
    if (begun && f->writes) { /* empty, or a start that was cut off */
        f->end = sizeof head;
        return start(f, why);
    }
    if (size < sizeof head || !read_at(f->fd, &head, sizeof head, 0) ||
        memcmp(head.magic, file_magic, sizeof head.magic)) {
        *rc = RC_USAGE;
        return reason_set(why, "'%s' is no cache of images: another name is needed", f->path);
    }
    f->end = sizeof head;
    if (head.version != VERSION) {
        if (!f->writes) {
            *rc = RC_USAGE;
            return reason_set(why, "'%s' is a cache of another version", f->path);
        }
        warn("'%s' is a cache of another version: it is made anew", f->path);
        return start(f, why);
    }
    read_chunks(f);
    return 0;
}

cache_file_t *cache_file_open(const char *path, int *rc, reason_t *why) {
    cache_file_t *f = NEW(cache_file_t);
    struct stat st;
    f->path = xstrdup(path);
    f->writes = true;
    pthread_mutex_init(&f->mutex, NULL);
    grow(f);
    *rc = RC_RUNTIME;
    f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (f->fd < 0 && (errno == EACCES || errno == EROFS)) {
        f->writes = false;
        f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    int failed = 0;
    if (f->fd < 0 || fstat(f->fd, &st)) {
        if (errno == ENOENT || errno == ENOTDIR || errno == EISDIR) *rc = RC_USAGE;
        failed = reason_set(why, "cannot open '%s': %s", path, cause_of(errno));
    } else if (!S_ISREG(st.st_mode)) {
        *rc = RC_USAGE;
        failed = reason_set(why, "'%s' is no file: a cache of images is one", path);
    } else {
        lock(f);
        failed = read_file(f, rc, why);
        unlock(f);
    }
    if (!failed) return f;
    f->writes = false;
    cache_file_close(f);
    return NULL;
}

void cache_file_close(cache_file_t *f) {
    if (!f) return;
    cache_file_flush(f);
    if (f->fd >= 0) close(f->fd);
    pthread_mutex_destroy(&f->mutex);
    free(f->slot);
    free(f->pixels);
    free(f->path);
    free(f);
}

/* ---- reading ---- */

static void forget(cache_file_t *f, const entry_t *e) {
    pthread_mutex_lock(&f->mutex);
    entry_t *slot = slot_of(f, e->key);
    if (slot->at == e->at) slot->h = 0;
    tell_damage(f, "an image whose pixels are not those that were written is decoded anew");
    pthread_mutex_unlock(&f->mutex);
}

bool cache_file_get(cache_file_t *f, const uint64_t key[2], image_t *out, unsigned *noticed) {
    pthread_mutex_lock(&f->mutex);
    entry_t e = *slot_of(f, key);
    pthread_mutex_unlock(&f->mutex);
    *out = (image_t){0};
    if (!is_there(&e)) return false;
    image_t im = image_new(e.w, e.h);
    if (!read_at(f->fd, im.rgb, pixel_bytes(&e), e.at) ||
        XXH3_64bits(im.rgb, pixel_bytes(&e)) != e.check) {
        image_release(&im);
        forget(f, &e);
        return false;
    }
    *noticed = e.noticed;
    *out = im;
    return true;
}

size_t cache_file_count(cache_file_t *f, size_t *added) {
    size_t n = 0;
    pthread_mutex_lock(&f->mutex);
    for (size_t i = 0; i < f->cap; i++) n += is_there(&f->slot[i]);
    *added = f->added;
    pthread_mutex_unlock(&f->mutex);
    return n;
}

/* ---- writing ---- */

/* Drops what another process has written meanwhile. */
static void drop_known(cache_file_t *f) {
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < f->n_pending; i++) {
        entry_t e = f->pending[i];
        size_t padded = round_up(pixel_bytes(&e), ALIGN);
        if (is_there(slot_of(f, e.key))) continue;
        memmove(f->pixels + bytes, f->pixels + e.at, padded);
        e.at = bytes;
        bytes += padded;
        f->pending[n++] = e;
    }
    f->n_pending = n;
    f->n_pixels = bytes;
}

static bool has_room(const cache_file_t *f, uint64_t bytes) {
    struct statvfs disk;
    if (fstatvfs(f->fd, &disk)) return true; /* the write will tell */
    return (uint64_t)disk.f_bavail * disk.f_frsize >= bytes + reserve_bytes;
}

static void write_chunk(cache_file_t *f) {
    chunk_head_t head = {.n = (uint32_t)f->n_pending, .bytes = f->n_pixels};
    size_t entries = f->n_pending * sizeof *f->pending;
    uint64_t pixels_at = f->end + sizeof head + entries;
    memcpy(head.magic, chunk_magic, sizeof head.magic);
    head.check = check_of(&head, f->pending);
    if (!has_room(f, head.bytes)) {
        give_up(f, "less than 1 GB would be left on its disk");
        return;
    }
    if (!write_at(f->fd, &head, sizeof head, f->end) ||
        !write_at(f->fd, f->pending, entries, f->end + sizeof head) ||
        !write_at(f->fd, f->pixels, f->n_pixels, pixels_at)) {
        give_up(f, cause_of(errno));
        /* What cannot be cut off either, the next writer will. */
        if (ftruncate(f->fd, (off_t)f->end)) errno = 0;
        return;
    }
    for (size_t i = 0; i < f->n_pending; i++) remember(f, &f->pending[i], pixels_at);
    f->end = pixels_at + head.bytes;
    f->added += f->n_pending;
}

/* With the mutex. */
static void flush(cache_file_t *f) {
    if (f->n_pending && f->writes) {
        lock(f);
        if (file_size(f) < f->end) give_up(f, "it was cut short by somebody else");
        if (f->writes) read_chunks(f);
        drop_known(f);
        if (f->n_pending && f->writes) write_chunk(f);
        unlock(f);
    }
    f->n_pending = f->n_pixels = 0;
}

static bool is_pending(const cache_file_t *f, const uint64_t key[2]) {
    for (size_t i = 0; i < f->n_pending; i++)
        if (same_key(f->pending[i].key, key)) return true;
    return false;
}

void cache_file_put(cache_file_t *f, const uint64_t key[2], const image_t *im, unsigned noticed) {
    size_t bytes = im->w * im->h * 3, padded = round_up(bytes, ALIGN);
    uint64_t check = XXH3_64bits(im->rgb, bytes);
    if (im->w > SIDE_MAX || im->h > SIDE_MAX) return;
    pthread_mutex_lock(&f->mutex);
    if (f->writes && !is_there(slot_of(f, key)) && !is_pending(f, key)) {
        f->pixels = xgrow(f->pixels, &f->cap_pixels, f->n_pixels + padded, 1);
        memcpy(f->pixels + f->n_pixels, im->rgb, bytes);
        memset(f->pixels + f->n_pixels + bytes, 0, padded - bytes);
        f->pending[f->n_pending++] = (entry_t){.key = {key[0], key[1]},
                                               .at = f->n_pixels,
                                               .check = check,
                                               .w = (uint32_t)im->w,
                                               .h = (uint32_t)im->h,
                                               .noticed = noticed};
        f->n_pixels += padded;
        if (f->n_pending == CHUNK_IMAGES || f->n_pixels >= chunk_bytes) flush(f);
    }
    pthread_mutex_unlock(&f->mutex);
}

void cache_file_flush(cache_file_t *f) {
    pthread_mutex_lock(&f->mutex);
    flush(f);
    pthread_mutex_unlock(&f->mutex);
}
