/* rows.c - rows out of a table by index, and gradients back into it (rows.h): embeddings, codebook
 * lookup, assembling a batch.
 *
 * The backward cuts the columns, not the rows. Every task walks all indices in order, so a table
 * row sums its gradients in the order of i whatever the number of threads, and rows that many
 * indices share need no locks.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"

#include <string.h>

enum {
    TASK_FLOATS = 16384, /* gathered or cleared in one task */
    STRIP = 32           /* columns of a scatter task: two cache lines */
};

typedef struct {
    const float *in;
    const int32_t *idx;
    float *out;
    size_t n, D, task_rows;
    bool add;
} rows_t;

/* y[D] += x[D] */
static void add_row(const float *restrict x, size_t D, float *restrict y) {
    for (size_t j = 0; j < D; j++) y[j] += x[j];
}

static void gather_task(void *ctx, size_t task) {
    const rows_t *r = ctx;
    size_t D = r->D, end = min_size((task + 1) * r->task_rows, r->n);
    for (size_t i = task * r->task_rows; i < end; i++) {
        float *out = r->out + i * D;
        if (r->idx[i] >= 0) {
            const float *row = r->in + (size_t)r->idx[i] * D;
            if (r->add)
                add_row(row, D, out);
            else
                memcpy(out, row, D * sizeof *out);
        } else if (!r->add) {
            memset(out, 0, D * sizeof *out);
        }
    }
}

/* Rows of D floats in a task. */
static size_t rows_per_task(size_t D) {
    return max_size(TASK_FLOATS / max_size(D, 1), 1);
}

void kern_gather_forward(const float *table, const int32_t *idx, size_t n, size_t D, float *out,
                         bool add) {
    rows_t r = {.in = table,
                .idx = idx,
                .out = out,
                .n = n,
                .D = D,
                .task_rows = rows_per_task(D),
                .add = add};
    parallel_for(ceil_div(n, r.task_rows), gather_task, &r);
}

static void clear_task(void *ctx, size_t task) {
    const rows_t *r = ctx;
    size_t first = task * r->task_rows, count = min_size(r->task_rows, r->n - first);
    memset(r->out + first * r->D, 0, count * r->D * sizeof *r->out);
}

/* STRIP columns of all rows. With the width as a constant the loop is unrolled. */
static void scatter_task(void *ctx, size_t task) {
    const rows_t *r = ctx;
    size_t D = r->D, first = task * STRIP, width = min_size(STRIP, D - first);
    for (size_t i = 0; i < r->n; i++) {
        if (r->idx[i] < 0) continue;
        const float *in = r->in + i * D + first;
        float *out = r->out + (size_t)r->idx[i] * D + first;
        if (width == STRIP)
            add_row(in, STRIP, out);
        else
            add_row(in, width, out);
    }
}

void kern_gather_backward(const float *dout, const int32_t *idx, size_t n, size_t D, float *dtable,
                          size_t rows, bool add) {
    if (!add) {
        rows_t clear = {.out = dtable, .n = rows, .D = D, .task_rows = rows_per_task(D)};
        parallel_for(ceil_div(rows, clear.task_rows), clear_task, &clear);
    }
    rows_t r = {.in = dout, .idx = idx, .out = dtable, .n = n, .D = D};
    parallel_for(ceil_div(D, STRIP), scatter_task, &r);
}
