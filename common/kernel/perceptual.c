/* perceptual.c - what a distance between features needs (loss.h; LPIPS, Zhang et al. 2018): pixels
 * scaled as a network was trained, and the weighted squared difference of unit vectors.
 *
 * a, b are [rows,C], a row of features per pixel. Sums over a row and over rows are doubles.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum { SPAN = 16384 /* least floats of a piece, or of a task */ };
static const float LEAST = 1e-10f; /* added to a length before dividing by it */

typedef struct {
    const float *a, *b; /* [rows,C]; for pixels a is x or dy, and b the means [C] */
    const float *w;     /* [C]: weights; for pixels deviations */
    float *out;
    size_t rows, C;
    size_t task; /* rows of a piece or of a task */
    float unit;  /* backward: dout / rows */
    bool add;
    double sum[KERN_PIECES];
} feature_t;

static size_t task_end(const feature_t *f, size_t task) {
    return min_size((task + 1) * f->task, f->rows);
}

static void run_rows(feature_t *f, pool_fn fn) {
    f->task = SPAN / f->C + 1;
    parallel_for(ceil_div(f->rows, f->task), fn, f);
}

/* ---- pixels ---- */

static void standardize_task(void *ctx, size_t task) {
    const feature_t *f = ctx;
    for (size_t r = task * f->task; r < task_end(f, task); r++)
        for (size_t c = 0, i = r * f->C; c < f->C; c++, i++)
            f->out[i] = (f->a[i] - f->b[c]) / f->w[c];
}

void kern_standardize_forward(const float *x, const float *mean, const float *std, size_t rows,
                              size_t C, float *y) {
    feature_t f = {.a = x, .b = mean, .w = std, .out = y, .rows = rows, .C = C};
    run_rows(&f, standardize_task);
}

static void standardize_back_task(void *ctx, size_t task) {
    const feature_t *f = ctx;
    for (size_t r = task * f->task; r < task_end(f, task); r++)
        for (size_t c = 0, i = r * f->C; c < f->C; c++, i++)
            f->out[i] = f->a[i] / f->w[c] + (f->add ? f->out[i] : 0);
}

void kern_standardize_backward(const float *dy, const float *std, size_t rows, size_t C, float *dx,
                               bool add) {
    feature_t f = {.a = dy, .w = std, .out = dx, .rows = rows, .C = C, .add = add};
    run_rows(&f, standardize_back_task);
}

/* ---- features ---- */

/* Elements i .. i+VL-1 of n, 0 beyond. */
VMATH vf part(const float *p, size_t i, size_t n) {
    return i + VL <= n ? v_load(p + i) : v_load_part(p + i, n - i, 0);
}

/* |x| of a row [C]. */
VMATH float length(const float *x, size_t C) {
    vd s = {0};
    for (size_t c = 0; c < C; c += VL) {
        vf v = part(x, c, C);
        s = v_widen_add(s, v * v);
    }
    return (float)sqrt(v_total(s));
}

/* sum over the rows of a piece of sum_c w_c (a_c/(|a|+e) - b_c/(|b|+e))^2 */
static void distance_task(void *ctx, size_t piece) {
    feature_t *f = ctx;
    size_t C = f->C;
    double sum = 0;
    for (size_t r = piece * f->task; r < task_end(f, piece); r++) {
        const float *a = f->a + r * C, *b = f->b + r * C;
        float ia = 1 / (length(a, C) + LEAST), ib = 1 / (length(b, C) + LEAST);
        vd s = {0};
        for (size_t c = 0; c < C; c += VL) {
            vf d = part(a, c, C) * ia - part(b, c, C) * ib;
            s = v_widen_add(s, part(f->w, c, C) * (d * d));
        }
        sum += v_total(s);
    }
    f->sum[piece] = sum;
}

void kern_feature_distance_forward(const float *a, const float *b, const float *w, size_t rows,
                                   size_t C, float *out) {
    feature_t f = {.a = a, .b = b, .w = w, .rows = rows, .C = C};
    f.task = max_size(SPAN / C + 1, ceil_div(rows, KERN_PIECES));
    size_t pieces = ceil_div(rows, f.task);
    parallel_for(pieces, distance_task, &f);
    double sum = 0;
    for (size_t i = 0; i < pieces; i++) sum += f.sum[i];
    *out = (float)(sum / (double)rows);
}

/* The forward was sum_c w_c (u_c - v_c)^2, u = a/(|a|+e), v = b/(|b|+e). With
 * g_c = 2 unit w_c (u_c - v_c), and |a| depending on every a_c:
 *
 *     da_c (+)= g_c / (|a|+e) - a_c (g.a) / (|a| (|a|+e)^2) */
static void distance_back_task(void *ctx, size_t task) {
    const feature_t *f = ctx;
    size_t C = f->C;
    for (size_t r = task * f->task; r < task_end(f, task); r++) {
        const float *a = f->a + r * C, *b = f->b + r * C;
        float *da = f->out + r * C, la = length(a, C), ia = 1 / (la + LEAST),
              ib = 1 / (length(b, C) + LEAST);
        if (la == 0) { /* no direction; behind a ReLU nothing of it would pass */
            if (!f->add) memset(da, 0, C * sizeof *da);
            continue;
        }
        vd s = {0};
        for (size_t c = 0; c < C; c += VL) {
            vf va = part(a, c, C), g = part(f->w, c, C) * (va * ia - part(b, c, C) * ib);
            s = v_widen_add(s, g * va);
        }
        float unit = 2 * f->unit * ia, along = (float)(v_total(s) * (double)ia / (double)la);
        for (size_t c = 0; c < C; c += VL) {
            vf va = part(a, c, C), g = part(f->w, c, C) * (va * ia - part(b, c, C) * ib);
            vf d = unit * (g - va * along);
            if (c + VL <= C)
                v_store(da + c, f->add ? v_load(da + c) + d : d);
            else
                v_store_part(da + c, f->add ? v_load_part(da + c, C - c, 0) + d : d, C - c);
        }
    }
}

void kern_feature_distance_backward(const float *a, const float *b, const float *w, size_t rows,
                                    size_t C, float dout, float *da, bool add) {
    feature_t f = {.a = a, .b = b, .w = w, .out = da, .rows = rows, .C = C, .add = add};
    f.unit = dout / (float)rows;
    run_rows(&f, distance_back_task);
}
