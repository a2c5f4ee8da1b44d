/* die.h - how programs fail, and allocation that cannot return NULL.
 *
 * Three kinds of trouble, three ways:
 *   the world's fault  -> die(code, ...): one line on stderr, then exit(code);
 *   the programmer's   -> BUG(...): file and line, then abort();
 *   foreign bytes      -> parsers return -1 and fill a reason (reason_t); the program decides.
 * Messages are lower case, quote their subject and put the cause last.
 */
#ifndef BASE_DIE_H
#define BASE_DIE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* Exit codes of every program. */
enum {
    RC_OK = 0,
    RC_RUNTIME = 1,  /* disk, memory, a dead child, NaN in a live run */
    RC_USAGE = 2,    /* usage, configuration, missing path */
    RC_DATA = 3,     /* unreadable, corrupt, tampered, too many bad items */
    RC_MISFIT = 4,   /* artifacts that do not fit each other */
    RC_STOPPED = 75, /* checkpointed and stopped on request */
};

/* Name that leads every message ("vqvae"); set once by main, default "?". */
void die_set_program(const char *name);
const char *die_program(void);

/* Prints "program: message" to stderr and exits with `code`. */
void die(int code, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* The same with ": cause_of(errno)" appended. */
void die_errno(int code, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* The same, and below it each line of `list` as a line of its own, led by the program's name. */
void die_list(int code, const char *list, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
/* strerror(error); for EFBIG it ends in "file size limit (ulimit -f)". */
const char *cause_of(int error);
/* Has the open file reached the process's limit on file sizes? For writers whose error is told
 * without its errno. */
bool at_size_limit(int fd);
/* Prints "program: warning: message"; counts it. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
size_t warn_count(void);

/* Every message on stderr goes through here: one line "who: message[: cause]" in one write. Control
 * characters are replaced, and on a terminal the progress bar is cleared first. */
void die_line(const char *who, const char *cause, const char *fmt, va_list args);
/* Each line of `list` as a message of its own, set in by two spaces. */
void die_list_lines(const char *who, const char *list);
/* Is stderr a terminal that may be redrawn (a TTY, TERM not dumb, NO_COLOR unset)? */
bool die_terminal(void);

/* BUG(format, ...): the programmer's fault. Prints file, line and message, then abort(). */
void bug_at(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)

/* Why a parser refused its bytes. */
typedef struct {
    char text[1024];
} reason_t;

/* Fills `why`, which may be NULL. Returns -1, so that `return reason_set(why, ...)` reads well. */
int reason_set(reason_t *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* malloc, calloc, realloc that never return NULL: without memory the program dies (RC_RUNTIME, "out
 * of memory (wanted N bytes)"). Zero bytes give a unique pointer. Release with free(). */
void *xmalloc(size_t bytes);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t bytes);
/* 64-byte aligned; release with free(). */
void *xaligned(size_t bytes);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define NEW(type) ((type *)xcalloc(1, sizeof(type)))

/* Grows the array p to at least `want` elements of `size` bytes; *cap, its capacity, doubles until
 * they fit. Returns the new pointer. */
void *xgrow(void *p, size_t *cap, size_t want, size_t size);

#endif
