/* image_folder.c - a folder of images, of any depth, as an image source.
 *
 * Promises: nothing but regular files and folders is ever opened; each folder is visited once,
 * however many links lead to it, and under its own name if it has one below the root; order and
 * keys do not depend on the file system. All paths are opened relative to the root, in pieces when
 * they are longer than the system takes at once. One descriptor stays open, whatever happens.
 */
#include "common/base/log.h"
#include "common/io/hash_set.h"
#include "common/io/image/image_codec.h"
#include "common/io/source/image_source_kind.h"
#include "common/io/utf8.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { TOLD_MAX = 20 };

typedef struct {
    size_t path; /* offset into paths */
    uint64_t size;
    int64_t mtime; /* ns */
} item_t;

typedef struct {
    int root;
    char *path; /* of the root, absolute where the system tells */
    item_t *item;
    size_t n, cap;
    char *paths;
    size_t n_paths, cap_paths;
} folder_t;

/* Paths below the root that are still to be scanned, each owned. */
typedef struct {
    char **path;
    size_t n, cap;
} list_t;

typedef struct {
    folder_t *f;
    image_source_t *s;
    list_t folders, links, later; /* links to folders wait until all real folders are known */
    hash_set_t seen;
    size_t told;
} scan_t;

static void list_push(list_t *l, char *path) {
    l->path = xgrow(l->path, &l->cap, l->n + 1, sizeof *l->path);
    l->path[l->n++] = path;
}

/* openat for paths of any length; no controlling terminal, no waiting for the other end of a
 * pipe. */
static int open_below(int root, const char *path, int flags) {
    enum { PIECE = PATH_MAX - 256 };
    int at = root;
    flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    while (strlen(path) >= PIECE) {
        char piece[PIECE + 1];
        memcpy(piece, path, PIECE);
        piece[PIECE] = 0;
        char *slash = strrchr(piece, '/'); /* names have at most 255 bytes: there is one */
        if (!slash) break;
        *slash = 0;
        int next = openat(at, piece, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (at != root) close(at);
        if (next < 0) return -1;
        at = next;
        path += slash - piece + 1;
    }
    int fd = openat(at, *path ? path : ".", flags), error = errno;
    if (at != root) close(at);
    errno = error;
    return fd;
}

static void tell(scan_t *s, const char *what, const char *dir, const char *name, int error) {
    char *path = xasprintf("%s%s%s", dir, *dir && *name ? "/" : "", name), shown[300];
    if (s->told++ < TOLD_MAX)
        warn("'%s': %s '%s': %s", s->s->spec, what, utf8_printable(shown, sizeof shown, path),
             strerror(error));
    else if (s->told == TOLD_MAX + 1)
        warn("'%s': further files that cannot be read are counted, not named", s->s->spec);
    free(path);
}

static int64_t ns_of(const struct stat *st) {
    return st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static void add_item(scan_t *s, const char *dir, const char *name, const struct stat *st) {
    folder_t *f = s->f;
    size_t n_dir = strlen(dir), n_name = strlen(name), start = f->n_paths;
    f->paths = xgrow(f->paths, &f->cap_paths, start + n_dir + n_name + 2, 1);
    char *to = f->paths + start;
    memcpy(to, dir, n_dir);
    if (n_dir) to[n_dir++] = '/';
    memcpy(to + n_dir, name, n_name + 1);
    f->n_paths += n_dir + n_name + 1;
    f->item = xgrow(f->item, &f->cap, f->n + 1, sizeof *f->item);
    f->item[f->n++] = (item_t){start, (uint64_t)st->st_size, ns_of(st)};
    if (f->n % 100000 == 0) log_line("'%s': %zu images so far", s->s->spec, f->n);
}

/* A file of such a name should be an image: one that is none becomes a bad item, not an "other
 * file". */
static bool has_image_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot &&
           (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") ||
            !strcasecmp(dot, ".jfif") || !strcasecmp(dot, ".jpe") || !strcasecmp(dot, ".webp"));
}

/* Remembers the first folder with tars by name: the order of a scan is the file system's. */
static void note_tars(scan_t *s, const char *dir) {
    char *path = xasprintf("%s%s%s", s->s->spec, *dir ? "/" : "", dir);
    if (s->s->tars_in && strcmp(s->s->tars_in, path) <= 0) {
        free(path);
        return;
    }
    free(s->s->tars_in);
    s->s->tars_in = path;
}

static void scan_file(scan_t *s, int dir_fd, const char *dir, const char *name) {
    uint8_t head[IMAGE_SNIFF];
    const char *format;
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n = fd >= 0 && fstat(fd, &st) == 0 ? read(fd, head, sizeof head) : -1;
    int error = errno;
    if (fd >= 0) close(fd);
    if (n < 0) {
        s->s->counts.unreadable++;
        tell(s, "cannot read", dir, name, error);
        return;
    }
    image_format_t kind = image_sniff(head, (size_t)n, &format);
    if (kind == FORMAT_OTHER) {
        s->s->counts.unsupported++;
        found_unread(&s->s->counts, format);
    } else if (S_ISREG(st.st_mode) && (kind != FORMAT_NONE || has_image_name(name))) {
        found_item(&s->s->counts, head, (size_t)n);
        add_item(s, dir, name, &st);
    } else if (archive_named(name)) {
        s->s->counts.tars++;
        note_tars(s, dir);
    } else {
        s->s->counts.other_files++;
    }
}

static char *below(const char *dir, const char *name) {
    return *dir ? xasprintf("%s/%s", dir, name) : xstrdup(name);
}

static void scan_entry(scan_t *s, int dir_fd, const char *dir, const char *name) {
    struct stat st;
    if (name[0] == '.' || !strcmp(name, "__MACOSX") || !strcmp(name, "Thumbs.db")) {
        s->s->counts.hidden++;
        return;
    }
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        s->s->counts.unreadable++;
        tell(s, "cannot look at", dir, name, errno);
        return;
    }
    bool link = S_ISLNK(st.st_mode);
    if (link && fstatat(dir_fd, name, &st, 0) != 0) {
        s->s->counts.links_dangling++;
        tell(s, "dangling link", dir, name, errno);
    } else if (S_ISDIR(st.st_mode)) {
        list_push(link ? &s->later : &s->folders, below(dir, name));
    } else if (S_ISREG(st.st_mode)) {
        scan_file(s, dir_fd, dir, name);
    } else {
        s->s->counts.other_files++; /* pipes, sockets, devices: opening them may block or act */
    }
}

static void scan_folder(scan_t *s, const char *dir) {
    struct stat st;
    int fd = open_below(s->f->root, dir, O_RDONLY | O_DIRECTORY);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        uint64_t id[2] = {st.st_dev, st.st_ino};
        if (!hash_set_add(&s->seen, XXH64(id, sizeof id, 0))) {
            close(fd);
            return;
        }
    }
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        s->s->counts.unreadable++;
        tell(s, "cannot open the folder", dir, "", errno);
        if (fd >= 0) close(fd);
        return;
    }
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) break;
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) scan_entry(s, fd, dir, e->d_name);
    }
    if (errno) {
        s->s->counts.unreadable++;
        tell(s, "cannot list all of", dir, "", errno);
    }
    closedir(d);
}

static int last_first(const void *a, const void *b) {
    return strcmp(*(char *const *)b, *(char *const *)a);
}

static int by_path(const void *a, const void *b, void *paths) {
    return strcmp((char *)paths + ((const item_t *)a)->path,
                  (char *)paths + ((const item_t *)b)->path);
}

static void scan_all(scan_t *s) {
    list_push(&s->folders, xstrdup(""));
    while (s->folders.n || s->links.n || s->later.n) {
        if (!s->folders.n && !s->links.n) {
            /* Followed by name, the first first: readdir's order decides nothing. Links found
             * behind links wait for the next round. */
            list_t links = s->links;
            s->links = s->later;
            s->later = links;
            qsort(s->links.path, s->links.n, sizeof *s->links.path, last_first);
        }
        list_t *l = s->folders.n ? &s->folders : &s->links;
        char *dir = l->path[--l->n];
        scan_folder(s, dir);
        free(dir);
    }
    free(s->folders.path);
    free(s->links.path);
    free(s->later.path);
    hash_set_release(&s->seen);
}

static const char *folder_key(void *self, size_t i) {
    const folder_t *f = self;
    return f->paths + f->item[i].path;
}

static uint64_t folder_size(void *self, size_t i) {
    return ((const folder_t *)self)->item[i].size;
}

static int read_all(int fd, uint8_t *to, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t got = read(fd, to + at, n - at);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = EIO; /* it shrinks while we read */
        if (got <= 0) return -1;
        at += (size_t)got;
    }
    return 0;
}

/* Is the file still the one of the scan? */
static bool is_same(const item_t *item, const struct stat *st) {
    return ns_of(st) == item->mtime && S_ISREG(st->st_mode) && (uint64_t)st->st_size == item->size;
}

static bool folder_stamp(void *self, size_t i, uint64_t stamp[2]) {
    const folder_t *f = self;
    const item_t *item = &f->item[i];
    struct stat st;
    int fd = open_below(f->root, f->paths + item->path, O_PATH);
    if (fd < 0) return false;
    bool same = fstat(fd, &st) == 0 && is_same(item, &st);
    close(fd);
    if (same) stamp_of(stamp, f->path, f->paths + item->path, &st);
    return same;
}

static image_status_t folder_read(void *self, size_t i, image_t *out, const image_opts_t *o,
                                  reason_t *why) {
    const folder_t *f = self;
    const item_t *item = &f->item[i];
    struct stat st;
    image_status_t status = IMAGE_BAD;
    int fd = open_below(f->root, f->paths + item->path, O_RDONLY);
    if (fd < 0) return (image_status_t)reason_set(why, "cannot open: %s", strerror(errno));
    if (fstat(fd, &st) != 0 || !is_same(item, &st)) {
        reason_set(why, "changed since the scan");
    } else if (item->size > IMAGE_FILE_MAX) {
        reason_set(why, "%llu bytes are no sane image", (unsigned long long)item->size);
    } else {
        uint8_t *bytes = xmalloc(item->size);
        if (read_all(fd, bytes, item->size))
            reason_set(why, "cannot read: %s", strerror(errno));
        else
            status = image_decode(out, bytes, item->size, o, why);
        free(bytes);
    }
    close(fd);
    return status;
}

static void folder_close(void *self) {
    folder_t *f = self;
    close(f->root);
    free(f->path);
    free(f->item);
    free(f->paths);
    free(f);
}

static bool folder_probe(const char *spec) {
    struct stat st;
    return stat(spec, &st) == 0 && S_ISDIR(st.st_mode);
}

static int folder_open(image_source_t *s, int *rc, reason_t *why) {
    int root = open(s->spec, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        *rc = RC_USAGE;
        return reason_set(why, "cannot open '%s': %s", s->spec, cause_of(errno));
    }
    folder_t *f = NEW(folder_t);
    scan_t scan = {.f = f, .s = s};
    s->self = f;
    f->root = root;
    f->path = realpath(s->spec, NULL);
    if (!f->path) f->path = xstrdup(s->spec);
    scan_all(&scan);
    if (f->n) qsort_r(f->item, f->n, sizeof *f->item, by_path, f->paths);
    s->count = s->counts.images = f->n;
    return 0;
}

const image_source_kind_t image_source_folder = {
    .needs = "a folder of images",
    .probe = folder_probe,
    .open = folder_open,
    .close = folder_close,
    .key = folder_key,
    .size = folder_size,
    .read = folder_read,
    .stamp = folder_stamp,
};
