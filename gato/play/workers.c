/* workers.c - forks, pipes, and the order of what arrives.
 *
 * In the pipe a message is its size and its bytes; the size ITEM_ENDS stands behind each item. A
 * worker that outlives its reader ends by SIGPIPE. A reader that meets the end of a pipe within an
 * item looks how the worker ended.
 */
#include "gato/play/workers.h"
#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ITEM_ENDS UINT64_MAX

enum { WINDOW = 1 << 18 /* bytes that one read may take */ };

typedef struct {
    pid_t pid;
    int fd;          /* -1: not started */
    uint8_t *window; /* [WINDOW] what came and was not asked for yet: bytes at .. n - 1 */
    size_t window_at, window_n;
} worker_t;

/* What the workers are made of. */
typedef struct {
    size_t workers, end;
    worker_t *worker; /* [workers] */
    workers_work_fn work;
    void *work_ctx;
    void *message; /* the one at hand, of `cap` bytes */
    size_t cap;
} crew_t;

struct workers_out {
    int fd; /* -1: in this process */
    const workers_take_t *take;
    size_t item;
    bool refused; /* a message was not wanted any more */
};

/* ---- in a worker ---- */

/* Writes `size` and n bytes: at once where the pipe has room, so that the reader wakes once. */
static void write_sized(int fd, uint64_t size, const void *bytes, size_t n) {
    struct iovec part[2] = {{&size, sizeof size}, {(void *)bytes, n}};
    for (int i = 0; i < 2;) {
        ssize_t k = writev(fd, part + i, 2 - i);
        if (k < 0 && errno != EINTR) die_errno(RC_RUNTIME, "cannot write to a pipe");
        for (size_t done = k > 0 ? (size_t)k : 0; i < 2; i++) {
            size_t of_part = done < part[i].iov_len ? done : part[i].iov_len;
            part[i].iov_base = (char *)part[i].iov_base + of_part;
            part[i].iov_len -= of_part;
            done -= of_part;
            if (part[i].iov_len) break;
        }
    }
}

static bool stopped(const workers_take_t *take) {
    return take->stop && take->stop(take->ctx);
}

bool workers_send(workers_out_t *out, const void *message, size_t bytes) {
    if (out->fd < 0) {
        if (stopped(out->take)) out->refused = true;
        if (out->refused) return false;
        out->take->take(out->take->ctx, out->item, message, bytes);
        return true;
    }
    write_sized(out->fd, bytes, message, bytes);
    return true;
}

static void work_all(const crew_t *c, size_t first, int fd) {
    for (size_t i = first; i < c->end; i += c->workers) {
        workers_out_t out = {.fd = fd, .item = i};
        c->work(c->work_ctx, i, &out);
        write_sized(fd, ITEM_ENDS, NULL, 0);
    }
    _exit(RC_OK);
}

/* ---- in the reader ---- */

/* Starts a worker that makes the items first, first + workers, ... */
static void start_worker(crew_t *c, size_t first) {
    worker_t *w = &c->worker[first % c->workers];
    int fd[2];
    if (pipe2(fd, O_CLOEXEC)) die_errno(RC_RUNTIME, "cannot make a pipe");
    fflush(NULL); /* otherwise the worker prints what waits in our buffers */
    pid_t reader = getpid(), pid = fork();
    if (pid < 0) die_errno(RC_RUNTIME, "cannot start a worker process");
    if (!pid) {
        /* Without its reader a worker ends at once: it shares the lock of what the reader
         * writes. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != reader) _exit(RC_RUNTIME);
        /* They reach the whole group, from a terminal or a scheduler: the reader decides when to
         * stop. */
        static const int asked[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
        for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) signal(asked[k], SIG_IGN);
        signal(SIGPIPE, SIG_DFL);
        close(fd[0]);
        for (size_t i = 0; i < c->workers; i++)
            if (c->worker[i].fd >= 0) close(c->worker[i].fd);
        pool_set_threads(1); /* the processes are the parallelism */
        work_all(c, first, fd[1]);
    }
    close(fd[1]);
    /* A pipe that holds more lets the worker go on while we are busy; a smaller one is only
     * slower. */
    (void)fcntl(fd[0], F_SETPIPE_SZ, 1 << 20);
    *w = (worker_t){.pid = pid, .fd = fd[0], .window = w->window};
    if (!w->window) w->window = xmalloc(WINDOW);
}

/* How a worker ended, whose pipe is closed; "" when it did all it should. */
static const char *ending(worker_t *w, char how[64]) {
    int status;
    close(w->fd);
    w->fd = -1;
    while (waitpid(w->pid, &status, 0) < 0)
        if (errno != EINTR) die_errno(RC_RUNTIME, "cannot wait for a worker process");
    how[0] = 0;
    if (WIFSIGNALED(status))
        snprintf(how, 64, "killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        die(WEXITSTATUS(status), "a worker process failed");
    return how;
}

/* The next n bytes of a worker. False at the end of the pipe. */
static bool read_all(worker_t *w, void *bytes, size_t n) {
    for (size_t at = 0; at < n;) {
        if (w->window_at == w->window_n) {
            ssize_t k = read(w->fd, w->window, WINDOW);
            if (k < 0 && errno == EINTR) continue;
            if (k < 0) die_errno(RC_RUNTIME, "cannot read from a worker process");
            if (k == 0) return false;
            w->window_at = 0;
            w->window_n = (size_t)k;
        }
        size_t some = min_size(n - at, w->window_n - w->window_at);
        memcpy((uint8_t *)bytes + at, w->window + w->window_at, some);
        w->window_at += some;
        at += some;
    }
    return true;
}

typedef enum { RECEIVED, LOST, STOPPED } received_t;

/* Receives item i. */
static received_t receive(crew_t *c, size_t i, const workers_take_t *take) {
    worker_t *w = &c->worker[i % c->workers];
    for (;;) {
        uint64_t size = 0;
        bool whole = read_all(w, &size, sizeof size);
        if (whole && size == ITEM_ENDS) return RECEIVED;
        if (whole) c->message = xgrow(c->message, &c->cap, size, 1);
        whole = whole && read_all(w, c->message, size);
        if (stopped(take)) return STOPPED;
        if (!whole) return LOST;
        take->take(take->ctx, i, c->message, size);
    }
}

static size_t run_alone(size_t first, size_t end, workers_work_fn work, void *work_ctx,
                        const workers_take_t *take) {
    size_t i = first;
    for (; i < end && !stopped(take); i++) {
        workers_out_t out = {.fd = -1, .take = take, .item = i};
        work(work_ctx, i, &out);
        if (out.refused) break;
    }
    return i;
}

size_t workers_run(size_t workers, size_t first, size_t end, workers_work_fn work, void *work_ctx,
                   const workers_take_t *take) {
    if (first >= end) return end;
    if (workers > end - first) workers = end - first;
    if (workers < 2) return run_alone(first, end, work, work_ctx, take);
    crew_t c = {.workers = workers, .end = end, .work = work, .work_ctx = work_ctx};
    c.worker = xcalloc(workers, sizeof *c.worker);
    for (size_t w = 0; w < workers; w++) c.worker[w].fd = -1;
    for (size_t w = 0; w < workers; w++) start_worker(&c, first + w);
    char how[64];
    size_t i = first;
    for (; i < end && !stopped(take); i++) {
        received_t got = receive(&c, i, take);
        if (got == STOPPED) break;
        if (got == RECEIVED) continue;
        ending(&c.worker[i % workers], how);
        take->lost(take->ctx, i, how);
        if (i + workers < end) start_worker(&c, i + workers);
    }
    for (size_t w = 0; w < workers; w++) {
        free(c.worker[w].window);
        if (c.worker[w].fd < 0) continue;
        if (i < end) kill(c.worker[w].pid, SIGKILL);
        ending(&c.worker[w], how);
    }
    free(c.worker);
    free(c.message);
    return i;
}
