/* workers.c - forks, pipes, and the order of what arrives. A worker that outlives its reader ends
 * by SIGPIPE. A reader that meets the end of a pipe too early reports how the worker died. */
#include "gato/play/workers.h"
#include "common/base/die.h"
#include "common/base/pool.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    pid_t pid;
    int fd;
} worker_t;

struct workers {
    size_t workers, bytes, next;
    worker_t *worker; /* [workers]; NULL: the work is done in this process */
    workers_work_fn work;
    void *ctx;
};

static void work_all(const workers_t *f, size_t first, size_t items, int fd) {
    char *block = xmalloc(f->bytes);
    for (size_t i = first; i < items; i += f->workers) {
        f->work(f->ctx, i, block);
        for (size_t at = 0; at < f->bytes;) {
            ssize_t n = write(fd, block + at, f->bytes - at);
            if (n < 0 && errno != EINTR) _exit(RC_RUNTIME);
            if (n > 0) at += (size_t)n;
        }
    }
    _exit(RC_OK);
}

static void start_worker(workers_t *f, size_t w, size_t items) {
    int fd[2];
    if (pipe(fd)) die_errno(RC_RUNTIME, "cannot make a pipe");
    pid_t pid = fork();
    if (pid < 0) die_errno(RC_RUNTIME, "cannot start a worker process");
    if (!pid) {
        signal(SIGPIPE, SIG_DFL);
        close(fd[0]);
        for (size_t i = 0; i < w; i++) close(f->worker[i].fd);
        pool_set_threads(1); /* the processes are the parallelism */
        work_all(f, w, items, fd[1]);
    }
    close(fd[1]);
    /* A pipe that holds a whole item lets the worker go on while we are busy; a smaller one is only
     * slower. */
    (void)fcntl(fd[0], F_SETPIPE_SZ, 1 << 20);
    f->worker[w] = (worker_t){pid, fd[0]};
}

workers_t *workers_start(size_t workers, size_t items, size_t bytes, workers_work_fn work,
                         void *ctx) {
    workers_t *f = NEW(workers_t);
    if (workers > items) workers = items;
    *f = (workers_t){.workers = workers, .bytes = bytes, .work = work, .ctx = ctx};
    if (workers < 2) return f;
    fflush(NULL); /* otherwise every worker prints what waits in our buffers */
    f->worker = xcalloc(workers, sizeof *f->worker);
    for (size_t w = 0; w < workers; w++) start_worker(f, w, items);
    return f;
}

static void wait_for(worker_t *w) {
    int status;
    close(w->fd);
    while (waitpid(w->pid, &status, 0) < 0)
        if (errno != EINTR) die_errno(RC_RUNTIME, "cannot wait for a worker process");
    if (WIFSIGNALED(status))
        die(RC_RUNTIME, "a worker process was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status)) die(WEXITSTATUS(status), "a worker process failed");
}

void workers_next(workers_t *f, void *block) {
    size_t i = f->next++;
    if (!f->worker) {
        f->work(f->ctx, i, block);
        return;
    }
    worker_t *w = &f->worker[i % f->workers];
    for (size_t at = 0; at < f->bytes;) {
        ssize_t n = read(w->fd, (char *)block + at, f->bytes - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) die_errno(RC_RUNTIME, "cannot read from a worker process");
        if (n == 0) {
            wait_for(w);
            die(RC_RUNTIME, "a worker process ended too early");
        }
        at += (size_t)n;
    }
}

void workers_end(workers_t *f) {
    if (f->worker)
        for (size_t w = 0; w < f->workers; w++) wait_for(&f->worker[w]);
    free(f->worker);
    free(f);
}
