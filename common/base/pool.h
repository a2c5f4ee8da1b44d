/* pool.h - the one thread pool: no other file starts threads or has a parallel region.
 *
 * Work is cut into blocks by its shape, never by the number of threads, so results do not depend on
 * --threads.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

/* Threads used by parallel_for from now on (0 = the processors that the process may use:
 * processors.h). Also keeps OpenBLAS at one thread. */
void pool_set_threads(int n);
int pool_threads(void);

/* Calls fn(ctx, i) for i in 0..n-1, in any order, on pool_threads() threads; returns when all are
 * done. Called from inside a parallel_for it runs the items in order on the calling thread; a loop
 * of one item is no such inside, so a batch of one still uses all threads below. */
typedef void (*pool_fn)(void *ctx, size_t i);
void parallel_for(size_t n, pool_fn fn, void *ctx);
/* 0 .. pool_threads()-1 inside a parallel_for item, else 0. */
int pool_thread_id(void);

/* A three-stage pipeline: read(ctx) on one thread returns items until NULL; map(ctx, item) runs on
 * `workers` threads; write(ctx, item) on one thread, in the order of reading. At most `depth` items
 * are in flight. Any stage may be the caller's own die(). */
typedef struct {
    void *ctx;
    void *(*read)(void *ctx);
    void (*map)(void *ctx, void *item);
    void (*write)(void *ctx, void *item);
    int workers, depth;
} pipeline_t;
void pipeline_run(const pipeline_t *p);

#endif
