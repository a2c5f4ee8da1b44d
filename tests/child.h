/* child.h - run a function in a child process and look at what a user would see: exit code, stdout,
 * stderr.
 *
 * child_run(fn, arg, &c): fn's return value is the exit code, unless it exits itself. A death by
 * signal n gives code 128 + n.
 */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* AddressSanitizer asks this before it looks for leaks: a child that ends in exit() need not free
 * what it holds, and threads of its parent that it does not have confuse the search. */
static int child_self;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return child_self;
}

typedef struct {
    int code;
    char out[8192], err[8192];
} child_t;

/* What qemu says itself, behind the last words of a program that a signal ended. */
static inline void child_drop_qemu(char *err) {
    char *said = strstr(err, "qemu: uncaught target signal");
    if (said) *said = 0;
}

static inline void child_slurp(FILE *f, char *text, size_t size) {
    rewind(f);
    size_t n = fread(text, 1, size - 1, f);
    text[n] = 0;
    fclose(f);
}

static inline void child_run(int (*fn)(void *arg), void *arg, child_t *c) {
    FILE *out = tmpfile(), *err = tmpfile();
    int status = 0;
    if (!out || !err) abort();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (dup2(fileno(out), 1) < 0 || dup2(fileno(err), 2) < 0) _exit(99);
        child_self = 1;
        exit(fn(arg));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) abort();
    c->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    child_slurp(out, c->out, sizeof c->out);
    child_slurp(err, c->err, sizeof c->err);
    child_drop_qemu(c->err);
}

/* A fresh folder; child_rmdir removes it with all that is in it. */
static inline const char *child_mkdir(char dir[256]) {
    const char *base = getenv("TMPDIR");
    snprintf(dir, 256, "%s/test.XXXXXX", base && *base ? base : P_tmpdir);
    if (!mkdtemp(dir)) abort();
    return dir;
}
static inline void child_rmdir(const char *dir) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) abort();
}

/* Number of lines. */
static inline int child_lines(const char *text) {
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

#endif
