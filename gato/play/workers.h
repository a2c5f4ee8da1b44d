/* workers.h - forked processes make work items; this process receives them in order.
 *
 * Processes rather than threads, because each worker needs its own OpenGL context and simulator.
 * Worker i % workers makes item i. If work() is a function of the item alone, the result is the
 * same for any number of workers. A single worker works in this process.
 */
#ifndef GATO_WORKERS_H
#define GATO_WORKERS_H

#include <stddef.h>

/* Fills block [bytes] with item i. ctx is this process's own copy. */
typedef void (*workers_work_fn)(void *ctx, size_t i, void *block);

typedef struct workers workers_t;
/* Forks the workers. Call it before this process opens a GL context or an HDF5 file, or starts
 * threads. End with workers_end. */
workers_t *workers_start(size_t workers, size_t items, size_t bytes, workers_work_fn work,
                         void *ctx);
/* Receives the next item into block [bytes]. die()s when its worker died. */
void workers_next(workers_t *f, void *block);
/* Call it after the last item: waits for the workers and frees them. */
void workers_end(workers_t *f);

#endif
