/* fs.c - see fs.h.
 *
 * Owns the temporary's name and the order: temporary, fsync, rename, fsync of the folder. The name
 * is fixed, ".NAME.tmp" beside the file, so that the next run overwrites what a killed one left. A
 * lock on the temporary keeps two writers of one file apart. Devices and pipes (/dev/null,
 * /dev/stdout) are written in place, since nothing can be renamed over them.
 */
#include "common/io/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

int fs_read(const char *path, size_t max, uint8_t **data, size_t *size, reason_t *why) {
    *data = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return reason_set(why, "cannot open '%s': %s", path, cause_of(errno));
    struct stat st;
    size_t cap = 0, n = 0;
    int rc = 0;
    uint8_t *buf = NULL;
    /* The size is a hint only: pipes have none, and files grow. */
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        if (max && (uintmax_t)st.st_size > max) {
            rc = reason_set(why, "cannot read '%s': %jd bytes, more than the limit of %zu", path,
                            (intmax_t)st.st_size, max);
        } else if (S_ISREG(st.st_mode)) {
            cap = (size_t)st.st_size + 2; /* NUL, and one byte to see the end without growing */
            buf = xmalloc(cap);
        }
    }
    while (rc == 0) {
        if (cap - n < 2) buf = xgrow(buf, &cap, n + 65536, 1);
        ssize_t got = read(fd, buf + n, cap - n - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) rc = reason_set(why, "cannot read '%s': %s", path, cause_of(errno));
        if (got <= 0) break;
        n += (size_t)got;
        if (max && n > max)
            rc = reason_set(why, "cannot read '%s': more than the limit of %zu bytes", path, max);
    }
    close(fd);
    if (rc) {
        free(buf);
        return rc;
    }
    buf[n] = 0;
    *data = buf;
    *size = n;
    return 0;
}

/* ---- atomic writing ---- */

/* The folder that holds `path`. */
static char *dir_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return xstrdup(".");
    if (slash == path) return xstrdup("/");
    return xasprintf("%.*s", (int)(slash - path), path);
}

static char *temporary_of(const char *path) {
    const char *slash = strrchr(path, '/');
    int n = slash ? (int)(slash + 1 - path) : 0;
    return xasprintf("%.*s.%s.tmp", n, path, path + n);
}

static void writer_clear(fs_writer_t *w) {
    free(w->path);
    free(w->temporary);
    *w = (fs_writer_t){0};
}

void fs_writer_abort(fs_writer_t *w) {
    if (w->temporary) unlink(w->temporary); /* while still locked, so that it is ours */
    if (w->file) fclose(w->file);
    writer_clear(w);
}

/* Opens the temporary, locked and empty: its descriptor, or -1 with a reason. Not O_TRUNC: before
 * it is locked, its bytes may be another writer's. */
static int open_temporary(const char *path, const char *temporary, reason_t *why) {
    for (;;) {
        int fd = open(temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0) return reason_set(why, "cannot create '%s': %s", path, cause_of(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(fd);
            return reason_set(why, "cannot create '%s': another process is writing it", path);
        } /* other errors: a file system without locks */
        struct stat a, b;
        bool same = fstat(fd, &a) == 0 && stat(temporary, &b) == 0 && a.st_ino == b.st_ino &&
                    a.st_dev == b.st_dev;
        if (same && S_ISREG(a.st_mode) && ftruncate(fd, 0) == 0) return fd;
        int error = errno;
        close(fd);
        if (same)
            return reason_set(why, "cannot create '%s': %s", path,
                              S_ISREG(a.st_mode) ? cause_of(error) : "not a file");
        /* else it was renamed by its writer between our open and our lock */
    }
}

int fs_writer_open(fs_writer_t *w, const char *path, reason_t *why) {
    *w = (fs_writer_t){0};
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode))
        return reason_set(why, "cannot create '%s': %s", path, strerror(EISDIR));
    bool in_place = exists && !S_ISREG(st.st_mode);
    w->path = xstrdup(path);
    int fd;
    if (in_place) {
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) reason_set(why, "cannot open '%s': %s", path, cause_of(errno));
    } else {
        char *temporary = temporary_of(path);
        fd = open_temporary(path, temporary, why);
        if (fd < 0)
            free(temporary); /* not ours to remove */
        else
            w->temporary = temporary;
    }
    if (fd >= 0) w->file = fdopen(fd, "wb");
    if (fd >= 0 && !w->file) {
        reason_set(why, "cannot open '%s': %s", path, cause_of(errno));
        close(fd);
        fd = -1;
    }
    if (fd < 0) fs_writer_abort(w);
    return fd < 0 ? -1 : 0;
}

/* fsync fails with EINVAL or ENOTSUP where there is nothing to sync: pipes, some network file
 * systems. */
static bool sync_fd(int fd) {
    return fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS;
}

/* The file stays open until it is published, since its lock keeps others off the temporary. */
int fs_writer_finish(fs_writer_t *w, reason_t *why) {
    if (!w->file) BUG("fs_writer_finish: not open");
    bool earlier = ferror(w->file); /* its errno is gone */
    if (!earlier && fflush(w->file) == 0 && sync_fd(fileno(w->file))) return 0;
    int error = earlier ? 0 : errno;
    if (earlier && at_size_limit(fileno(w->file))) error = EFBIG;
    reason_set(why, "cannot write '%s': %s", w->path,
               error ? cause_of(error) : "an earlier write failed");
    fs_writer_abort(w);
    return -1;
}

int fs_writer_publish(fs_writer_t *w, size_t n, reason_t *why) {
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!w[i].path) BUG("fs_writer_publish: writer %zu is not finished", i);
        if (w[i].temporary && rename(w[i].temporary, w[i].path) != 0) {
            rc = reason_set(why, "cannot write '%s': %s", w[i].path, cause_of(errno));
            break;
        }
        free(w[i].temporary); /* it has become the file */
        w[i].temporary = NULL;
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        char *dir = dir_of(w[i].path), *last = i ? dir_of(w[i - 1].path) : NULL;
        if (!last || strcmp(dir, last) != 0) rc = fs_sync_dir(dir, why);
        free(dir);
        free(last);
    }
    for (size_t i = 0; i < n; i++) fs_writer_abort(&w[i]);
    return rc;
}

int fs_writer_commit(fs_writer_t *w, reason_t *why) {
    return fs_writer_finish(w, why) ? -1 : fs_writer_publish(w, 1, why);
}

int fs_write(const char *path, const void *data, size_t size, reason_t *why) {
    fs_writer_t w;
    if (fs_writer_open(&w, path, why)) return -1;
    if (size && fwrite(data, 1, size, w.file) != size) {
        reason_set(why, "cannot write '%s': %s", path, cause_of(errno));
        fs_writer_abort(&w);
        return -1;
    }
    return fs_writer_commit(&w, why);
}

int fs_copy(const char *from, const char *to, reason_t *why) {
    enum { PIECE = 1 << 20 };
    FILE *source = fopen(from, "rbe");
    if (!source) return reason_set(why, "cannot open '%s': %s", from, cause_of(errno));
    fs_writer_t w;
    int rc = fs_writer_open(&w, to, why);
    uint8_t *piece = xmalloc(PIECE);
    while (!rc) {
        size_t n = fread(piece, 1, PIECE, source);
        if (ferror(source)) rc = reason_set(why, "cannot read '%s': %s", from, cause_of(errno));
        if (rc || !n) break;
        if (fwrite(piece, 1, n, w.file) != n)
            rc = reason_set(why, "cannot write '%s': %s", to, cause_of(errno));
    }
    if (!rc)
        rc = fs_writer_commit(&w, why);
    else
        fs_writer_abort(&w);
    free(piece);
    fclose(source);
    return rc;
}

/* ---- folders ---- */

bool fs_ends(const char *path, const char *end) {
    size_t n = strlen(path), m = strlen(end);
    return n >= m && !strcmp(path + n - m, end);
}

bool fs_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool fs_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ".", "..", or what a killed writer left: temporary_of. */
static bool counts_as_nothing(const char *name) {
    size_t n = strlen(name);
    return !strcmp(name, ".") || !strcmp(name, "..") ||
           (n > 5 && name[0] == '.' && !strcmp(name + n - 4, ".tmp"));
}

bool fs_dir_empty(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return !fs_exists(path);
    bool empty = true;
    const struct dirent *entry = readdir(dir);
    while (empty && entry) {
        empty = counts_as_nothing(entry->d_name);
        entry = readdir(dir);
    }
    closedir(dir);
    return empty;
}

int fs_mkdirs(const char *path, reason_t *why) {
    char *part = xstrdup(path);
    int rc = 0;
    for (char *at = part; rc == 0 && *at; at++) {
        bool last = at[1] == 0;
        if (!last && (at[1] != '/' || *at == '/')) continue;
        char kept = at[1];
        at[1] = 0;
        int error = mkdir(part, 0777) == 0 ? 0 : errno;
        if (error && !fs_is_dir(part))
            rc = reason_set(why, "cannot create folder '%s': %s", part, cause_of(error));
        at[1] = kept;
    }
    free(part);
    return rc;
}

int fs_sync_dir(const char *dir, reason_t *why) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return reason_set(why, "cannot open folder '%s': %s", dir, cause_of(errno));
    int rc = sync_fd(fd) ? 0 : reason_set(why, "cannot sync folder '%s': %s", dir, cause_of(errno));
    close(fd);
    return rc;
}

char *fs_join(const char *dir, const char *name) {
    size_t n = strlen(dir);
    return xasprintf("%s%s%s", dir, n && dir[n - 1] != '/' ? "/" : "", name);
}

bool fs_same(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

/* ---- DIR/done ---- */

void fs_done_clear(const char *dir) {
    char *path = fs_join(dir, "done");
    if (unlink(path) == 0)
        fs_sync_dir(dir, NULL);
    else if (errno != ENOENT && errno != ENOTDIR)
        die_errno(RC_RUNTIME, "cannot remove '%s'", path);
    free(path);
}

int fs_done_write(const char *dir, const char *arguments, const char *counts_json, reason_t *why) {
    char *path = fs_join(dir, "done");
    unsigned long long hash = XXH64(arguments, strlen(arguments), 0);
    /* The hash as text: a JSON number holds 53 bits. */
    char *text = xasprintf("{\"arguments\": \"%016llx\", \"counts\": %s}\n", hash,
                           counts_json ? counts_json : "{}");
    int rc = fs_write(path, text, strlen(text), why);
    free(text);
    free(path);
    return rc;
}
