/* batchnorm.c - batch normalisation over rows with an optional leaky ReLU behind it.
 *
 * Sums over rows are doubles in at most KERN_PIECES pieces fixed by the shape, added in order.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"

#include <math.h>
#include <string.h>

enum {
    PIECE_MIN = 16384,
    /* least floats of a piece */ SPAN = 16384 /* floats of an elementwise task */
};

typedef struct {
    const float *x, *gamma, *beta, *mean, *rstd, *dy;
    float *y, *dx;
    size_t rows, C, task; /* task: rows of a piece or span */
    bool leaky, add;
    double *parts;             /* [pieces][2][C] */
    const double *sum0, *sum1; /* means of dz and of dz xhat */
} batchnorm_t;

static size_t task_end(const batchnorm_t *b, size_t task) {
    size_t end = (task + 1) * b->task;
    return end < b->rows ? end : b->rows;
}

static size_t pieces_of(batchnorm_t *b) {
    size_t least = ceil_div(PIECE_MIN, b->C), even = ceil_div(b->rows, KERN_PIECES);
    b->task = even > least ? even : least;
    return ceil_div(b->rows, b->task);
}

static void run_rows(batchnorm_t *b, pool_fn fn) {
    b->task = SPAN / b->C + 1;
    parallel_for(ceil_div(b->rows, b->task), fn, b);
}

/* Runs fn over the pieces; the first `n` sums of each, added in order, are left in parts[0 ..
 * n*C). */
static void reduce(batchnorm_t *b, pool_fn fn, size_t n) {
    size_t pieces = pieces_of(b);
    parallel_for(pieces, fn, b);
    for (size_t p = 1; p < pieces; p++)
        for (size_t i = 0; i < n * b->C; i++) b->parts[i] += b->parts[2 * p * b->C + i];
}

static double *scratch_parts(const batchnorm_t *b) {
    return scratch_get(SCRATCH_NORM, (2 * KERN_PIECES + 2) * b->C * sizeof(double));
}

/* ---- forward ---- */

static void sum_task(void *ctx, size_t piece) {
    const batchnorm_t *b = ctx;
    size_t C = b->C;
    double *s = b->parts + 2 * piece * C;
    memset(s, 0, C * sizeof *s);
    for (size_t r = piece * b->task; r < task_end(b, piece); r++)
        for (size_t c = 0; c < C; c++) s[c] += (double)b->x[r * C + c];
}

static void square_task(void *ctx, size_t piece) {
    const batchnorm_t *b = ctx;
    size_t C = b->C;
    double *s = b->parts + 2 * piece * C;
    memset(s, 0, C * sizeof *s);
    for (size_t r = piece * b->task; r < task_end(b, piece); r++)
        for (size_t c = 0; c < C; c++) {
            double d = (double)b->x[r * C + c] - (double)b->mean[c];
            s[c] += d * d;
        }
}

static inline float activated(const batchnorm_t *b, size_t i, size_t c, float *xhat) {
    *xhat = (b->x[i] - b->mean[c]) * b->rstd[c];
    return *xhat * b->gamma[c] + b->beta[c];
}

static void apply_task(void *ctx, size_t task) {
    const batchnorm_t *b = ctx;
    size_t C = b->C;
    for (size_t r = task * b->task; r < task_end(b, task); r++)
        for (size_t c = 0; c < C; c++) {
            float xhat, z = activated(b, r * C + c, c, &xhat);
            b->y[r * C + c] = b->leaky && !(z > 0) ? 0.2f * z : z;
        }
}

void kern_batchnorm_forward(const float *x, const float *gamma, const float *beta, size_t rows,
                            size_t C, float eps, bool leaky, float *y, float *mean, float *rstd,
                            float *var) {
    batchnorm_t b = {.x = x,
                     .gamma = gamma,
                     .beta = beta,
                     .mean = mean,
                     .rstd = rstd,
                     .y = y,
                     .rows = rows,
                     .C = C};
    b.leaky = leaky;
    b.parts = scratch_parts(&b);
    reduce(&b, sum_task, 1);
    for (size_t c = 0; c < C; c++) mean[c] = (float)(b.parts[c] / (double)rows);
    reduce(&b, square_task, 1);
    for (size_t c = 0; c < C; c++) {
        rstd[c] = (float)(1 / sqrt(b.parts[c] / (double)rows + (double)eps));
        var[c] = (float)(b.parts[c] / (double)(rows > 1 ? rows - 1 : 1));
    }
    run_rows(&b, apply_task);
}

/* ---- backward: dz = dy act'(z), dx = gamma rstd (dz - mean dz - xhat mean (dz xhat)) ---- */

static inline float slope(const batchnorm_t *b, size_t i, size_t c, float *xhat) {
    float z = activated(b, i, c, xhat);
    return b->leaky && !(z > 0) ? 0.2f * b->dy[i] : b->dy[i];
}

static void back_sum_task(void *ctx, size_t piece) {
    const batchnorm_t *b = ctx;
    size_t C = b->C;
    double *s = b->parts + 2 * piece * C;
    memset(s, 0, 2 * C * sizeof *s);
    for (size_t r = piece * b->task; r < task_end(b, piece); r++)
        for (size_t c = 0; c < C; c++) {
            float xhat, dz = slope(b, r * C + c, c, &xhat);
            s[c] += (double)dz;
            s[C + c] += (double)dz * (double)xhat;
        }
}

static void back_task(void *ctx, size_t task) {
    const batchnorm_t *b = ctx;
    size_t C = b->C;
    for (size_t r = task * b->task; r < task_end(b, task); r++)
        for (size_t c = 0; c < C; c++) {
            float xhat, dz = slope(b, r * C + c, c, &xhat);
            float d =
                b->gamma[c] * b->rstd[c] * (dz - (float)b->sum0[c] - xhat * (float)b->sum1[c]);
            float *dx = b->dx + r * C + c;
            *dx = b->add ? *dx + d : d;
        }
}

static void put(const double *sum, size_t C, float *out, bool add) {
    for (size_t c = 0; out && c < C; c++) out[c] = (float)(add ? out[c] + sum[c] : sum[c]);
}

void kern_batchnorm_backward(const float *x, const float *gamma, const float *beta,
                             const float *mean, const float *rstd, const float *dy, size_t rows,
                             size_t C, bool leaky, float *dx, bool add_dx, float *dgamma,
                             bool add_dgamma, float *dbeta, bool add_dbeta) {
    batchnorm_t b = {.x = x,
                     .gamma = gamma,
                     .beta = beta,
                     .mean = mean,
                     .rstd = rstd,
                     .dy = dy,
                     .rows = rows,
                     .C = C};
    b.leaky = leaky, b.dx = dx, b.add = add_dx;
    b.parts = scratch_parts(&b);
    reduce(&b, back_sum_task, 2);
    put(b.parts, C, dbeta, add_dbeta);
    put(b.parts + C, C, dgamma, add_dgamma);
    if (!dx) return;
    for (size_t c = 0; c < 2 * C; c++) b.parts[c] /= (double)rows;
    b.sum0 = b.parts;
    b.sum1 = b.parts + C;
    run_rows(&b, back_task);
}
