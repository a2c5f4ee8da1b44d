/* die.c - how programs fail, and allocation that cannot return NULL.
 *
 * Owns: the program's name, the count of warnings, and the rule that only one thread may end the
 * process. Promises: a message is one line in one write(2), so lines of several threads or
 * processes do not mix, and foreign names in it cannot move a terminal's cursor.
 */
#include "common/base/die.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *program = "?"; /* set once by main */
static atomic_size_t warnings;

void die_set_program(const char *name) {
    program = name;
}

const char *die_program(void) {
    return program;
}

bool die_terminal(void) {
    const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
    return isatty(2) && !(term && strcmp(term, "dumb") == 0) && !(plain && *plain);
}

void die_line(const char *who, const char *cause, const char *fmt, va_list args) {
    static const char clear[] = "\r\033[K";
    char line[2048];
    const size_t room = sizeof line - 1; /* one byte is kept for the newline */
    size_t skip = 0;
    if (die_terminal()) {
        memcpy(line, clear, sizeof clear);
        skip = sizeof clear - 1;
    }
    size_t n = skip;
    int more = snprintf(line + n, room - n, "%s: ", who);
    n += more > 0 ? (size_t)more : 0;
    if (n < room) {
        more = vsnprintf(line + n, room - n, fmt, args);
        n += more > 0 ? (size_t)more : 0;
    }
    if (cause && n < room) {
        more = snprintf(line + n, room - n, ": %s", cause);
        n += more > 0 ? (size_t)more : 0;
    }
    if (n > room - 1) n = room - 1; /* cut: the last byte snprintf wrote was its NUL */
    for (size_t i = skip; i < n; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
    }
    line[n++] = '\n';
    for (size_t at = 0; at < n;) { /* a stderr that cannot be written to has nobody to tell */
        ssize_t wrote = write(2, line + at, n - at);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) break;
        at += (size_t)wrote;
    }
}

static void put_line(const char *who, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put_line(const char *who, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    die_line(who, NULL, fmt, args);
    va_end(args);
}

void die_list_lines(const char *who, const char *list) {
    while (*list) {
        size_t n = strcspn(list, "\n");
        if (n) put_line(who, "  %.*s", (int)n, list);
        list += n + (list[n] == '\n');
    }
}

/* exit() from two threads at once is undefined, so the first one wins and the others wait for the
 * end of the process; a thread that dies again inside an exit handler leaves at once. Taken before
 * the message, so that one failure prints one line. */
static void claim_exit(int code) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool taken;
    static pthread_t owner;
    pthread_mutex_lock(&lock);
    bool first = !taken, again = taken && pthread_equal(owner, pthread_self());
    if (first) {
        taken = true;
        owner = pthread_self();
    }
    pthread_mutex_unlock(&lock);
    if (again) _exit(code);
    while (!first) pause();
}

void die(int code, const char *fmt, ...) {
    claim_exit(code);
    va_list args;
    va_start(args, fmt);
    die_line(program, NULL, fmt, args);
    va_end(args);
    exit(code);
}

void die_list(int code, const char *list, const char *fmt, ...) {
    claim_exit(code);
    va_list args;
    va_start(args, fmt);
    die_line(program, NULL, fmt, args);
    va_end(args);
    die_list_lines(program, list);
    exit(code);
}

const char *cause_of(int error) {
    if (error == EFBIG) return "File too large: file size limit (ulimit -f)";
    return strerror(error); /* glibc's: a buffer for each thread */
}

bool at_size_limit(int fd) {
    struct rlimit limit;
    struct stat s;
    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY) return false;
    return fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && (rlim_t)s.st_size >= limit.rlim_cur;
}

void die_errno(int code, const char *fmt, ...) {
    const char *cause = cause_of(errno);
    claim_exit(code);
    va_list args;
    va_start(args, fmt);
    die_line(program, cause, fmt, args);
    va_end(args);
    exit(code);
}

void warn(const char *fmt, ...) {
    char who[128];
    snprintf(who, sizeof who, "%s: warning", program);
    va_list args;
    va_start(args, fmt);
    die_line(who, NULL, fmt, args);
    va_end(args);
    atomic_fetch_add(&warnings, 1);
}

size_t warn_count(void) {
    return atomic_load(&warnings);
}

void bug_at(const char *file, int line, const char *fmt, ...) {
    char who[512];
    snprintf(who, sizeof who, "%s: bug at %s:%d", program, file, line);
    va_list args;
    va_start(args, fmt);
    die_line(who, NULL, fmt, args);
    va_end(args);
    abort();
}

int reason_set(reason_t *why, const char *fmt, ...) {
    if (why) {
        char text[sizeof why->text]; /* an argument may be the old reason itself */
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        memcpy(why->text, text, sizeof text);
    }
    return -1;
}

static void *checked(void *p, size_t bytes) {
    if (!p) die(RC_RUNTIME, "out of memory (wanted %zu bytes)", bytes);
    return p;
}

void *xmalloc(size_t bytes) {
    return checked(malloc(bytes ? bytes : 1), bytes);
}

void *xcalloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        die(RC_RUNTIME, "out of memory (wanted %zu x %zu bytes)", count, size);
    return checked(calloc(bytes ? bytes : 1, 1), bytes);
}

void *xrealloc(void *p, size_t bytes) {
    return checked(realloc(p, bytes ? bytes : 1), bytes);
}

/* Large blocks lie in huge pages where the system has them on request: kernels walk through dozens
 * of places at a time, more than the processor keeps addresses of small pages for. */
void *xaligned(size_t bytes) {
    enum { HUGE_PAGE = 2 << 20 };
    bool large = bytes >= 2 * HUGE_PAGE;
    void *p = NULL;
    if (posix_memalign(&p, large ? HUGE_PAGE : 64, bytes ? bytes : 1)) p = NULL;
#ifdef MADV_HUGEPAGE
    if (p && large) madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish */
#endif
    return checked(p, bytes);
}

char *xstrdup(const char *s) {
    size_t n = strlen(s) + 1;
    return memcpy(xmalloc(n), s, n);
}

char *xasprintf(const char *fmt, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) die(RC_RUNTIME, "out of memory (formatting a text)");
    return text;
}

void *xgrow(void *p, size_t *cap, size_t want, size_t size) {
    if (want <= *cap && p) return p;
    size_t n = *cap > SIZE_MAX / 2 ? want : *cap * 2, bytes;
    if (n < want) n = want;
    if (n < 8) n = 8;
    if (__builtin_mul_overflow(n, size, &bytes))
        die(RC_RUNTIME, "out of memory (wanted %zu x %zu bytes)", n, size);
    p = xrealloc(p, bytes);
    *cap = n;
    return p;
}
