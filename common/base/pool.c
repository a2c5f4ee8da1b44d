/* pool.c - the one thread pool. Owns the thread count, the workers of parallel_for and the
 * pipeline's threads.
 *
 * A thread is "inside" while it runs an item of a parallel_for or of a pipeline with several
 * workers: parallel_for then runs there in order, on that thread, so threads never multiply.
 */
#include "common/base/pool.h"

#include "common/base/die.h"
#include "common/base/processors.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int threads;               /* a setting; 0 = not yet set */
static _Thread_local bool inside; /* of a parallel_for item or a pipeline */
static _Thread_local int thread_id;

/* OpenBLAS asks this function of its own how many threads it shall have, while it is being loaded.
 * The program's definition comes before the library's. So OpenBLAS never starts a thread: they
 * would lie idle beside ours, each wants 128 MB of addresses, and where 'ulimit -v' refuses them
 * they spin for ever and the process does not end. (The build without threads is no way out: its
 * products are wrong when several of our threads call it at once.) */
int openblas_num_threads_env(void);
int openblas_num_threads_env(void) {
    return 1;
}

void pool_set_threads(int n) {
    threads = n > 0 ? n : processors_allowed();
    openblas_set_num_threads(1); /* an OpenBLAS that asks in another way */
}

int pool_threads(void) {
    if (!threads) pool_set_threads(0);
    return threads;
}

int pool_thread_id(void) {
    return thread_id;
}

/* Stop requests belong to the caller's thread: elsewhere they would only interrupt system calls. */
static void block_signals(sigset_t *before) {
    sigset_t ours;
    sigemptyset(&ours);
    const int stop[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGWINCH};
    for (size_t i = 0; i < sizeof stop / sizeof *stop; i++) sigaddset(&ours, stop[i]);
    pthread_sigmask(SIG_BLOCK, &ours, before);
}

static void thread_start(pthread_t *thread, void *(*body)(void *), void *arg) {
    int error = pthread_create(thread, NULL, body, arg);
    if (error) die(RC_RUNTIME, "cannot start a thread: %s", strerror(error));
}

/* ---- parallel_for ----
 *
 * One loop at a time. Its items are handed out by `ticket` = loop number << 32 | next item: a
 * compare-and-swap on it can only succeed while that very loop still has items, so a worker that
 * comes late can neither touch nor hold up a loop. The caller works too and waits only for items
 * that were begun: a worker that the system does not schedule costs nothing. (An OpenMP region
 * waits for all of its threads; on a busy machine that made training ten times slower.)
 */
enum { NO_ITEM = UINT32_MAX, SPIN = 4000, WORKERS = 1023 };

static struct {
    pthread_mutex_t owner; /* held by the caller of the running loop */
    _Atomic uint64_t ticket;
    _Atomic(pool_fn) fn;
    _Atomic(void *) ctx;
    _Atomic uint32_t n, wanted; /* items; workers that may help */
    _Atomic uint32_t done;
    int workers; /* started */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic int sleeping;
} loop = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .ticket = NO_ITEM,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Runs items while there are any; false if there were none. */
static bool help(void) {
    bool any = false;
    for (;;) {
        uint64_t ticket = atomic_load(&loop.ticket);
        uint32_t i = (uint32_t)ticket;
        if (i == NO_ITEM || i >= atomic_load(&loop.n) ||
            (uint32_t)thread_id > atomic_load(&loop.wanted))
            return any;
        pool_fn fn = atomic_load(&loop.fn);
        void *ctx = atomic_load(&loop.ctx);
        if (!atomic_compare_exchange_weak(&loop.ticket, &ticket, ticket + 1)) continue;
        fn(ctx, i);
        atomic_fetch_add(&loop.done, 1);
        any = true;
    }
}

static void *worker(void *arg) {
    thread_id = (int)(intptr_t)arg;
    inside = true;
    for (;;) {
        bool worked = false;
        for (int spin = 0; spin < SPIN && !worked; spin++) {
            worked = help();
            if (!worked) relax();
        }
        if (worked) continue;
        uint64_t seen = atomic_load(&loop.ticket) >> 32;
        pthread_mutex_lock(&loop.lock);
        atomic_fetch_add(&loop.sleeping, 1);
        while (atomic_load(&loop.ticket) >> 32 == seen) pthread_cond_wait(&loop.wake, &loop.lock);
        atomic_fetch_sub(&loop.sleeping, 1);
        pthread_mutex_unlock(&loop.lock);
    }
    return NULL;
}

/* Threads do not survive a fork: the child starts its own. */
static void after_fork(void) {
    pthread_mutex_init(&loop.owner, NULL);
    pthread_mutex_init(&loop.lock, NULL);
    pthread_cond_init(&loop.wake, NULL);
    loop.workers = 0;
    atomic_store(&loop.sleeping, 0);
}

static void start_workers(int want) {
    static bool registered;
    if (loop.workers >= want) return;
    if (!registered) pthread_atfork(NULL, NULL, after_fork);
    registered = true;
    sigset_t before;
    block_signals(&before);
    while (loop.workers < want) {
        pthread_t thread;
        thread_start(&thread, worker, (void *)(intptr_t)(loop.workers + 1));
        pthread_detach(thread);
        loop.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void parallel_for(size_t n, pool_fn fn, void *ctx) {
    int want = pool_threads() - 1;
    if (want > WORKERS) want = WORKERS;
    if (inside || want == 0 || n <= 1 || n >= NO_ITEM || pthread_mutex_trylock(&loop.owner)) {
        for (size_t i = 0; i < n; i++) fn(ctx, i);
        return;
    }
    start_workers(want);
    uint64_t number = (atomic_load(&loop.ticket) >> 32) + 1;
    atomic_store(&loop.fn, fn);
    atomic_store(&loop.ctx, ctx);
    atomic_store(&loop.n, (uint32_t)n);
    atomic_store(&loop.wanted, (uint32_t)want);
    atomic_store(&loop.done, 0);
    atomic_store(&loop.ticket, number << 32);
    if (atomic_load(&loop.sleeping)) {
        pthread_mutex_lock(&loop.lock);
        pthread_cond_broadcast(&loop.wake);
        pthread_mutex_unlock(&loop.lock);
    }
    inside = true;
    help();
    inside = false;
    for (int spin = 0; atomic_load(&loop.done) < n; spin++) {
        if (spin < SPIN)
            relax();
        else
            sched_yield();
    }
    atomic_fetch_or(&loop.ticket, NO_ITEM); /* nothing of this loop is left to take */
    pthread_mutex_unlock(&loop.owner);
}

/* ---- pipeline: a ring of slots, each empty -> read -> mapping -> mapped -> empty ---- */

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
        while (run->n_read - run->n_written >= run->depth)
            pthread_cond_wait(&run->changed, &run->lock);
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
        while (run->n_taken == run->n_read && !run->ended)
            pthread_cond_wait(&run->changed, &run->lock);
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

void pipeline_run(const pipeline_t *p) {
    int workers = p->workers > 0 ? p->workers : pool_threads();
    if (inside) { /* threads are busy already */
        for (void *item; (item = p->read(p->ctx));) {
            p->map(p->ctx, item);
            p->write(p->ctx, item);
        }
        return;
    }
    run_t run = {.p = p,
                 .many = workers > 1,
                 .depth = p->depth > 0 ? (size_t)p->depth : (size_t)workers + 2};
    run.slot = xcalloc(run.depth, sizeof *run.slot);
    pthread_mutex_init(&run.lock, NULL);
    pthread_cond_init(&run.changed, NULL);
    pthread_t *thread = xcalloc((size_t)workers + 1, sizeof *thread);
    sigset_t before;
    block_signals(&before);
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
