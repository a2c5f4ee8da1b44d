/* batchnorm.c - batch normalization over rows, with an optional leaky ReLU behind it (norm.h).
 *
 * x is [rows,C], a row per pixel of the batch; mean and variance are per channel, over all rows. So
 * a pass has two kinds of loops: sums over rows, and then the same arithmetic for every element.
 *
 * Sums over rows are doubles in at most KERN_PIECES pieces fixed by the shape, added in order. The
 * variance is summed in a second pass, from the mean: no large sums are subtracted from each other.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"

#include <math.h>
#include <string.h>

enum {
    PIECE_MIN = 16384, /* least floats of a piece */
    SPAN = 16384       /* floats of an elementwise task */
};
static const float LEAK = 0.2f; /* slope of the leaky ReLU below 0 */

typedef struct {
    const float *x, *gamma, *beta, *mean, *rstd, *dy;
    float *y, *dx;
    size_t rows, C;
    size_t task; /* rows of a piece, or of an elementwise task */
    bool leaky, add;
    double *parts;             /* sums of the pieces, [pieces][2][C] */
    const double *sum0, *sum1; /* backward [C]: means of dz and of dz xhat */
} batchnorm_t;

/* The row behind a task's last one. */
static size_t task_end(const batchnorm_t *b, size_t task) {
    return min_size((task + 1) * b->task, b->rows);
}

/* Fixes the rows of a piece; returns the number of pieces. */
static size_t pieces_of(batchnorm_t *b) {
    b->task = max_size(ceil_div(PIECE_MIN, b->C), ceil_div(b->rows, KERN_PIECES));
    return ceil_div(b->rows, b->task);
}

/* Runs fn over all rows, some at a time. */
static void run_rows(batchnorm_t *b, pool_fn fn) {
    b->task = SPAN / b->C + 1;
    parallel_for(ceil_div(b->rows, b->task), fn, b);
}

/* Runs fn over the pieces, and adds the n sums of each in order: parts[0 .. n*C) are the totals. */
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

/* parts[piece] = sum_r x[r,:] */
static void sum_task(void *ctx, size_t piece) {
    const batchnorm_t *b = ctx;
    size_t C = b->C;
    double *s = b->parts + 2 * piece * C;
    memset(s, 0, C * sizeof *s);
    for (size_t r = piece * b->task; r < task_end(b, piece); r++)
        for (size_t c = 0; c < C; c++) s[c] += (double)b->x[r * C + c];
}

/* parts[piece] = sum_r (x[r,:] - mean)^2 */
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

/* xhat = (x - mean) rstd of element i in channel c; returns z = gamma xhat + beta. */
static inline float activated(const batchnorm_t *b, size_t i, size_t c, float *xhat) {
    *xhat = (b->x[i] - b->mean[c]) * b->rstd[c];
    return *xhat * b->gamma[c] + b->beta[c];
}

/* y = act(z); NaN takes the leaky side and stays NaN. */
static void apply_task(void *ctx, size_t task) {
    const batchnorm_t *b = ctx;
    size_t C = b->C;
    for (size_t r = task * b->task; r < task_end(b, task); r++)
        for (size_t c = 0; c < C; c++) {
            float xhat, z = activated(b, r * C + c, c, &xhat);
            b->y[r * C + c] = b->leaky && !(z > 0) ? LEAK * z : z;
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
                     .C = C,
                     .leaky = leaky};
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

/* ---- backward ---- */

/* The forward was y = act(z), z = gamma xhat + beta, xhat = (x - mean) rstd. With dz = act'(z) dy
 * and means over all rows:
 *
 *     dbeta = sum dz      dgamma = sum dz xhat
 *     dx    = gamma rstd (dz - mean(dz) - xhat mean(dz xhat))
 */

/* dz of element i in channel c, and its xhat. */
static inline float slope(const batchnorm_t *b, size_t i, size_t c, float *xhat) {
    float z = activated(b, i, c, xhat);
    return b->leaky && !(z > 0) ? LEAK * b->dy[i] : b->dy[i];
}

/* parts[piece] = sum_r dz, sum_r dz xhat: [2][C] */
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

/* dx of a task's rows. */
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

/* out[C] (+)= sum[C]; out may be NULL. */
static void put(const double *sum, size_t C, float *out, bool add) {
    if (!out) return;
    for (size_t c = 0; c < C; c++) out[c] = (float)(add ? out[c] + sum[c] : sum[c]);
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
                     .dx = dx,
                     .rows = rows,
                     .C = C,
                     .leaky = leaky,
                     .add = add_dx};
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
