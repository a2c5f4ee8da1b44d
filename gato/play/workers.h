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

#include <stdbool.h>
#include <stddef.h>

typedef struct workers_out workers_out_t;
/* Sends a message of `bytes` bytes. False: the item is not wanted any more. */
bool workers_send(workers_out_t *out, const void *message, size_t bytes);
/* Makes item i. ctx is this process's own copy. */
typedef void (*workers_work_fn)(void *ctx, size_t i, workers_out_t *out);

/* What this process does with the items; each is called in the order of the items. */
typedef struct {
    void *ctx;
    /* A message of item i. */
    void (*take)(void *ctx, size_t i, const void *message, size_t bytes);
    /* Item i will send no further message: its worker is dead; `how` says by what. */
    void (*lost)(void *ctx, size_t i, const char *how);
    /* Asked before each item and each message: is nothing further wanted? NULL = never. */
    bool (*stop)(void *ctx);
} workers_take_t;

/* Makes the items first .. end - 1 with at most `workers` workers. A worker that dies costs the
 * item at hand, and another takes its place; but one that exits by itself (die(): out of memory, a
 * disk that fails) ends this program with its exit code. Call it before this process opens a GL
 * context, or starts threads. Signals that ask to stop reach this process alone. Returns the item
 * that it stopped before or within, or end. */
size_t workers_run(size_t workers, size_t first, size_t end, workers_work_fn work, void *work_ctx,
                   const workers_take_t *take);

#endif
