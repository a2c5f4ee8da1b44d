/* lock.h - a lock file that says which process is at work.
 *
 *     lock_t lock;
 *     int rc = lock_take(&lock, "run/.lock", "run", &why);
 *     if (rc) die(rc, "%s", why.text);
 *     ...
 *     lock_release(&lock);
 *
 * The kernel drops the lock of a process that ends, however it ends, so a file that was left behind
 * locks nobody out. A process that ends by exit() leaves none.
 */
#ifndef IO_LOCK_H
#define IO_LOCK_H

#include "common/base/die.h"
#include <stdbool.h>

typedef struct {
    char *path;
    int fd; /* -1 = not held */
} lock_t;

/* Makes the file at `path`, locks it and writes our pid into it. `what` names in messages what the
 * lock protects. 0; or RC_RUNTIME with a reason: "'WHAT' is locked by pid N: another process is
 * writing it", or why the file cannot be locked. Where the file system has no locks, it warns and
 * the lock counts as held. */
int lock_take(lock_t *lock, const char *path, const char *what, reason_t *why);
/* Does another process hold it? Changes nothing. 0, or RC_RUNTIME as lock_take. */
int lock_look(const char *path, const char *what, reason_t *why);
/* Removes the file and drops the lock. Nothing happens when it is not held. */
void lock_release(lock_t *lock);

/* ---- file systems without locks ---- */

/* Is it an errno by which a file system says that it has no locks at all? */
bool lock_unsupported(int error);
/* strerror(error), also for those errors that the C library has no text for. */
const char *lock_cause(int error);
/* Warns that writers of `what` cannot be kept apart; once per process. */
void lock_warn_unsupported(const char *what, int error);

#endif
