/* pool.c - the one thread pool. Owns the thread count and the only parallel region of the project, and the pipeline's
 * threads.
 *
 * A thread is "inside" while it runs an item of a parallel_for or of a pipeline with several workers: parallel_for then
 * runs there in order, on that thread, so threads never multiply.
 */
#include "common/base/pool.h"

#include "common/base/die.h"

#include <cblas.h>
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int threads;               /* a setting; 0 = not yet set */
static _Thread_local bool inside; /* of a parallel_for item or a pipeline */
static _Thread_local int thread_id;

void pool_set_threads(int n) {
    threads = n > 0 ? n : omp_get_num_procs();
    /* OpenBLAS built on OpenMP also sets OpenMP's own maximum to one here; hence num_threads below. */
    openblas_set_num_threads(1);
}

int pool_threads(void) {
    if (!threads) pool_set_threads(0);
    return threads;
}

int pool_thread_id(void) {
    return thread_id;
}

void parallel_for(size_t n, pool_fn fn, void *ctx) {
    int want = pool_threads();
    if (inside || want == 1 || n <= 1) {
        for (size_t i = 0; i < n; i++) fn(ctx, i);
        return;
    }
    if ((size_t)want > n) want = (int)n;
#pragma omp parallel num_threads(want)
    {
        inside = true;
        thread_id = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < n; i++) fn(ctx, i);
        inside = false;
        thread_id = 0;
    }
}

/* ---- pipeline: a ring of `depth` slots, each on its way empty -> read -> mapping -> mapped -> empty ---- */

typedef enum { SLOT_EMPTY, SLOT_READ, SLOT_MAPPED } slot_state_t;
typedef struct {
    slot_state_t state;
    void *item;
} slot_t;

typedef struct {
    const pipeline_t *p;
    bool many; /* workers > 1: nobody in here may start more threads */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    slot_t *slot;
    size_t depth;
    size_t n_read, n_taken, n_written; /* items so far, in order */
    bool ended;                        /* read returned NULL */
} run_t;

static void *read_thread(void *arg) {
    run_t *run = arg;
    inside = run->many;
    for (;;) {
        pthread_mutex_lock(&run->lock);
        while (run->n_read - run->n_written >= run->depth) pthread_cond_wait(&run->changed, &run->lock);
        pthread_mutex_unlock(&run->lock);
        void *item = run->p->read(run->p->ctx);
        pthread_mutex_lock(&run->lock);
        if (item) {
            run->slot[run->n_read % run->depth] = (slot_t){SLOT_READ, item};
            run->n_read++;
        } else {
            run->ended = true;
        }
        pthread_cond_broadcast(&run->changed);
        pthread_mutex_unlock(&run->lock);
        if (!item) return NULL;
    }
}

static void *map_thread(void *arg) {
    run_t *run = arg;
    inside = run->many;
    pthread_mutex_lock(&run->lock);
    for (;;) {
        while (run->n_taken == run->n_read && !run->ended) pthread_cond_wait(&run->changed, &run->lock);
        if (run->n_taken == run->n_read) break;
        slot_t *slot = &run->slot[run->n_taken++ % run->depth];
        pthread_mutex_unlock(&run->lock);
        run->p->map(run->p->ctx, slot->item);
        pthread_mutex_lock(&run->lock);
        slot->state = SLOT_MAPPED;
        pthread_cond_broadcast(&run->changed);
    }
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

static void write_all(run_t *run) {
    pthread_mutex_lock(&run->lock);
    for (;;) {
        slot_t *slot = &run->slot[run->n_written % run->depth];
        while (slot->state != SLOT_MAPPED && !(run->ended && run->n_written == run->n_read))
            pthread_cond_wait(&run->changed, &run->lock);
        if (slot->state != SLOT_MAPPED) break;
        pthread_mutex_unlock(&run->lock);
        run->p->write(run->p->ctx, slot->item);
        pthread_mutex_lock(&run->lock);
        slot->state = SLOT_EMPTY;
        run->n_written++;
        pthread_cond_broadcast(&run->changed);
    }
    pthread_mutex_unlock(&run->lock);
}

static void thread_start(pthread_t *thread, void *(*body)(void *), void *arg) {
    int error = pthread_create(thread, NULL, body, arg);
    if (error) die(RC_RUNTIME, "cannot start a thread: %s", strerror(error));
}

void pipeline_run(const pipeline_t *p) {
    int workers = p->workers > 0 ? p->workers : pool_threads();
    if (inside) { /* threads are busy already */
        for (void *item; (item = p->read(p->ctx));) {
            p->map(p->ctx, item);
            p->write(p->ctx, item);
        }
        return;
    }
    run_t run = {.p = p, .many = workers > 1, .depth = p->depth > 0 ? (size_t)p->depth : (size_t)workers + 2};
    run.slot = xcalloc(run.depth, sizeof *run.slot);
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.changed, NULL);
    pthread_t *thread = xcalloc((size_t)workers + 1, sizeof *thread);
    /* Stop requests belong to the caller's thread: elsewhere they would only interrupt system calls. */
    sigset_t ours, before;
    sigemptyset(&ours);
    const int stop[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGWINCH};
    for (size_t i = 0; i < sizeof stop / sizeof *stop; i++) sigaddset(&ours, stop[i]);
    pthread_sigmask(SIG_BLOCK, &ours, &before);
    thread_start(&thread[0], read_thread, &run);
    for (int i = 0; i < workers; i++) thread_start(&thread[1 + i], map_thread, &run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    inside = run.many;
    write_all(&run);
    inside = false;
    for (int i = 0; i <= workers; i++) pthread_join(thread[i], NULL);
    pthread_cond_destroy(&run.changed);
    pthread_mutex_destroy(&run.lock);
    free(thread);
    free(run.slot);
}
