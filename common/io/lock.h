/* lock.h - a lock file that says which process is at work here.
 *
 *     lock_t lock;
 *     int rc = lock_take(&lock, "run/.lock", "run", &why);
 *     if (rc) die(rc, "%s", why.text);
 *     ...
 *     lock_release(&lock);
 *
 * The kernel drops the lock of a process that ends, however it ends; a file that was left behind
 * stops nobody. A process that ends by exit() leaves none.
 */
#ifndef IO_LOCK_H
#define IO_LOCK_H

#include "common/base/die.h"
#include <stdbool.h>

typedef struct {
    char *path;
    int fd; /* -1 = not held */
} lock_t;

/* Makes the file at `path`, locks it and writes our pid into it. `what` is what it stands for, in
 * messages. 0; or RC_RUNTIME with a reason: "'WHAT' is locked by pid N: another process is writing
 * it", or the cause why there can be no lock. On a file system that has no locks it is held
 * nevertheless, with a warning: nobody else can be told from us there. */
int lock_take(lock_t *lock, const char *path, const char *what, reason_t *why);
/* Does another process hold it? Makes and changes nothing. 0 or RC_RUNTIME, as lock_take. */
int lock_look(const char *path, const char *what, reason_t *why);
/* Removes the file. Nothing happens if the lock is not held. */
void lock_release(lock_t *lock);

/* Errors by which a file system says that it has no locks at all. */
bool lock_unsupported(int error);
/* strerror(error), also for those that the C library has no text for. */
const char *lock_cause(int error);
/* The warning of lock_take, once in a process. */
void lock_warn_unsupported(const char *what, int error);

#endif
