/* lock.c - see lock.h. */
#include "common/io/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef ENOTSUPP
#define ENOTSUPP 524 /* the kernel's own; some network file systems let it out */
#endif

bool lock_unsupported(int error) {
    return error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP || error == ENOTSUP ||
           error == ENOTSUPP;
}

const char *lock_cause(int error) {
    return strerror(error == ENOTSUPP ? EOPNOTSUPP : error);
}

void lock_warn_unsupported(const char *what, int error) {
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&said)) return;
    warn("'%s': its file system has no locks (%s): two programs that write it at once cannot be "
         "kept apart; make sure that only one runs",
         what, lock_cause(error));
}

/* ---- the files that exit() removes ---- */

enum { HELD = 64 };
static struct {
    char *path; /* NULL = free */
    pid_t process;
} held[HELD];
static pthread_mutex_t held_mutex = PTHREAD_MUTEX_INITIALIZER;

static void remove_held(void) {
    /* Another thread is changing the list: a lock file that stays does no harm. */
    if (pthread_mutex_trylock(&held_mutex)) return;
    for (size_t i = 0; i < HELD; i++)
        if (held[i].path && held[i].process == getpid()) unlink(held[i].path);
    pthread_mutex_unlock(&held_mutex);
}

static void remember(const char *path) {
    static bool registered;
    pthread_mutex_lock(&held_mutex);
    if (!registered) registered = !atexit(remove_held);
    for (size_t i = 0; i < HELD; i++) {
        if (held[i].path) continue;
        held[i].path = xstrdup(path);
        held[i].process = getpid();
        break;
    }
    pthread_mutex_unlock(&held_mutex);
}

static void forget(const char *path) {
    pthread_mutex_lock(&held_mutex);
    for (size_t i = 0; i < HELD; i++) {
        if (!held[i].path || strcmp(held[i].path, path)) continue;
        free(held[i].path);
        held[i].path = NULL;
        break;
    }
    pthread_mutex_unlock(&held_mutex);
}

/* ---- locking ---- */

static int locked_by_other(int fd, const char *what, reason_t *why) {
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    long pid = strtol(text, NULL, 10);
    if (pid > 0)
        reason_set(why, "'%s' is locked by pid %ld: another process is writing it", what, pid);
    else
        reason_set(why, "'%s' is locked by pid (unknown): another process is writing it", what);
    return RC_RUNTIME;
}

/* 0: we hold it; EWOULDBLOCK: another process does; else the errno by which it cannot be locked. */
static int try_lock(int fd) {
    while (flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno != EINTR) return errno;
    }
    return 0;
}

static void write_pid(int fd) {
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    /* The number helps people; the lock works without it, on a full disk say. */
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) errno = 0;
}

/* The holder removes the file, so a lock counts only while the file still has its name. */
static bool still_named(int fd, const char *path) {
    struct stat ours, named;
    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

int lock_take(lock_t *lock, const char *path, const char *what, reason_t *why) {
    *lock = (lock_t){.fd = -1};
    for (;;) { /* again when the holder removed the file between our open and our lock */
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) {
            reason_set(why, "cannot create '%s': %s", path, cause_of(errno));
            return RC_RUNTIME;
        }
        int error = try_lock(fd);
        if (error == EWOULDBLOCK) {
            int rc = locked_by_other(fd, what, why);
            close(fd);
            return rc;
        }
        if (error && !lock_unsupported(error)) {
            close(fd);
            reason_set(why, "cannot lock '%s': %s", path, cause_of(error));
            return RC_RUNTIME;
        }
        if (error) lock_warn_unsupported(what, error);
        if (error || still_named(fd, path)) {
            write_pid(fd);
            *lock = (lock_t){xstrdup(path), fd};
            remember(path);
            return 0;
        }
        close(fd);
    }
}

int lock_look(const char *path, const char *what, reason_t *why) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return 0;
    int rc = try_lock(fd) == EWOULDBLOCK ? locked_by_other(fd, what, why) : 0;
    close(fd);
    return rc;
}

void lock_release(lock_t *lock) {
    if (lock->fd < 0 || !lock->path) return;
    forget(lock->path);
    unlink(lock->path); /* while it is still ours */
    close(lock->fd);
    free(lock->path);
    *lock = (lock_t){.fd = -1};
}
