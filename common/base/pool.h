/* pool.h - the one thread pool: no other file starts threads.
 *
 * Callers cut work into blocks by its shape and never by the number of threads, so results do not
 * depend on --threads.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>

/* Threads used by parallel_for from now on (0 = the processors that the process may use:
 * processors.h). Also keeps OpenBLAS at one thread. */
void pool_set_threads(int n);
int pool_threads(void);

typedef void (*pool_fn)(void *ctx, size_t i);
/* Calls fn(ctx, i) for i in 0..n-1, in any order, on pool_threads() threads. Returns when all are
 * done.
 *
 * Inside an item of another parallel_for it runs the items in order on the calling thread. A loop
 * of a single item does not count as such, so the loops inside a batch of one still use all
 * threads. */
void parallel_for(size_t n, pool_fn fn, void *ctx);
/* 0 .. pool_threads()-1 inside a parallel_for item, else 0. */
int pool_thread_id(void);

/* A pipeline of three stages. Any stage may die(). */
typedef struct {
    void *ctx;
    void *(*read)(void *ctx);             /* on one thread: the next item, NULL at the end */
    void (*map)(void *ctx, void *item);   /* on `workers` threads, in any order */
    void (*write)(void *ctx, void *item); /* on the calling thread, in the order of reading */
    int workers;                          /* 0 = pool_threads() */
    int depth;                            /* items under way at most; 0 = workers + 2 */
} pipeline_t;
/* Runs it until every item is written. Inside a parallel_for it runs item by item. */
void pipeline_run(const pipeline_t *p);

#endif
