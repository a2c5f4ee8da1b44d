/* farm.h - work items made by forked processes and handed back in order.
 *
 * Processes rather than threads, because an OpenGL context and a simulator are the worker's own.
 * Item i is made by worker i % workers; the result is the same for any number of workers if work()
 * is a function of the item alone. With one worker the work is done in this process.
 */
#ifndef GATO_FARM_H
#define GATO_FARM_H

#include <stddef.h>

/* Fills block [bytes] with item i. ctx is the process's own copy. */
typedef void (*farm_work_fn)(void *ctx, size_t i, void *block);

typedef struct farm farm_t;
/* Forks the workers. Call it before this process has opened a GL context, an HDF5 file or
 * threads. */
farm_t *farm_start(size_t workers, size_t items, size_t bytes, farm_work_fn work, void *ctx);
/* The next item, in order. Dies when its worker died. */
void farm_next(farm_t *f, void *block);
/* After the last item: waits for the workers. */
void farm_end(farm_t *f);

#endif
