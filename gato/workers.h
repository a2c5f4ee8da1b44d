/* workers.h - work items made by forked processes and handed back in order.
 *
 * Processes rather than threads, because an OpenGL context and a simulator are the worker's own.
 * Item i is made by worker i % workers; the result is the same for any number of workers if work()
 * is a function of the item alone. With one worker the work is done in this process.
 */
#ifndef GATO_WORKERS_H
#define GATO_WORKERS_H

#include <stddef.h>

/* Fills block [bytes] with item i. ctx is the process's own copy. */
typedef void (*workers_work_fn)(void *ctx, size_t i, void *block);

typedef struct workers workers_t;
/* Forks the workers. Call it before this process has opened a GL context, an HDF5 file or
 * threads. */
workers_t *workers_start(size_t workers, size_t items, size_t bytes, workers_work_fn work,
                         void *ctx);
/* The next item, in order. Dies when its worker died. */
void workers_next(workers_t *f, void *block);
/* After the last item: waits for the workers. */
void workers_end(workers_t *f);

#endif
