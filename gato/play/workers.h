/* workers.h - forked processes make work items; this process receives what they send, item after
 * item, in order.
 *
 * Processes rather than threads, because each worker needs its own OpenGL context and simulator.
 * Worker i % workers makes item i and sends messages of any size while it does; a pipe holds them
 * back when this process is slow, so memory does not grow with the item. If work() is a function of
 * the item alone, the result is the same for any number of workers. A single worker works in this
 * process.
 */
#ifndef GATO_WORKERS_H
#define GATO_WORKERS_H

#include <stddef.h>

typedef struct workers_out workers_out_t;
/* Sends a message of `bytes` bytes. */
void workers_send(workers_out_t *out, const void *message, size_t bytes);
/* Makes item i. ctx is this process's own copy. */
typedef void (*workers_work_fn)(void *ctx, size_t i, workers_out_t *out);
/* Receives a message of item i, in this process. */
typedef void (*workers_take_fn)(void *ctx, size_t i, const void *message, size_t bytes);

/* Makes `items` items with so many workers and takes their messages in order. A worker that dies
 * costs the item at hand: lost(ctx, i) is called for it instead of further messages, and another
 * worker takes its place. Call it before this process opens a GL context or an HDF5 file, or starts
 * threads. */
void workers_run(size_t workers, size_t items, workers_work_fn work, void *work_ctx,
                 workers_take_fn take, void (*lost)(void *ctx, size_t i), void *take_ctx);

#endif
