/* xent.c - softmax over a range of a row's columns: cross entropy and the expected center of a bin
 * (loss.h), over logits that are there, or made from hidden rows a slice at a time.
 *
 * Nothing of a softmax is kept: the backward computes it again from the logits, which costs less
 * than reading a second matrix from memory. Where a linear layer makes the logits, they are not
 * kept either: a slice of rows at a time they are made, read and forgotten, forward and backward
 * alike, in memory that does not grow with the rows.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    SPAN = 16384, /* logits of a task, about */
    /* Logits of a slice, about: 8 MB. Every slice packs the matrix anew, which must cost little
     * beside its product. */
    SLICE = 2 << 20,
    SLICE_LEAST = 8 /* rows */
};

/* ---- one row: x[n] are the logits of its range ---- */

/* With top = max x and S = sum_j exp(x_j - top), p_j = exp(x_j - top) / S. A row is read twice:
 * once for its maximum, once for its sum. */

/* max_j x[j] of lanes that are not NaN. */
static float highest(const float *x, size_t n) {
    vf m = v_set(-INFINITY);
    for (size_t j = 0; j < n; j += VL)
        m = v_max(j + VL <= n ? v_load(x + j) : v_load_part(x + j, n - j, -INFINITY), m);
    return v_highest(m);
}

/* S = sum_j e^(x_j - top). With `centers` also *weighted = sum_j e^(x_j - top) (2j + 1). NaN logits
 * give NaN. */
VMATH double exp_sums(const float *x, size_t n, float top, bool centers, double *weighted) {
    vd sum = {0}, first = {0};
    vf lane = v_odd();
    for (size_t j = 0; j < n; j += VL, lane += 2.f * VL) {
        vf e =
            v_exp_down((j + VL <= n ? v_load(x + j) : v_load_part(x + j, n - j, -INFINITY)) - top);
        sum = v_widen_add(sum, e);
        if (centers) first = v_widen_add(first, e * lane);
    }
    if (centers) *weighted = v_total(first);
    return v_total(sum);
}

/* -log p_hit = log S + top - x_hit */
static float xent_row(const float *x, size_t n, size_t hit) {
    float top = highest(x, n);
    return (float)(log(exp_sums(x, n, top, false, NULL)) + ((double)top - x[hit]));
}

/* d_j (+)= unit (p_j - [j = hit]); d may be x if it is not added to. The target is written last,
 * from p - 1 itself: adding the two parts one after the other would round twice. */
static void xent_back_row(const float *x, size_t n, size_t hit, float unit, float *d, bool add) {
    float top = highest(x, n), share = (float)(1 / exp_sums(x, n, top, false, NULL));
    float before = add ? d[hit] : 0, p = v_exp_down(v_set(x[hit] - top))[0] * share;
    for (size_t j = 0; j < n; j += VL) {
        vf e = v_exp_down((j + VL <= n ? v_load(x + j) : v_load_part(x + j, n - j, 0)) - top);
        v_store_add(d + j, e * share * unit, n - j, add);
    }
    d[hit] = before + (p - 1.f) * unit;
}

/* sum_j p_j c_j with c_j = (2j+1)/n - 1: the sum of (2j+1) is scaled once. */
static float expect_row(const float *x, size_t n) {
    double odd, sum = exp_sums(x, n, highest(x, n), true, &odd);
    return (float)(odd / sum / (double)n - 1);
}

/* d_j (+)= dvalue p_j (c_j - value) */
static void expect_back_row(const float *x, size_t n, float value, float dvalue, float *d,
                            bool add) {
    float top = highest(x, n), share = (float)(dvalue / exp_sums(x, n, top, false, NULL)),
          base = -1.f - value, width = 1.f / (float)n;
    vf lane = v_odd();
    for (size_t j = 0; j < n; j += VL, lane += 2.f * VL) {
        vf e = v_exp_down((j + VL <= n ? v_load(x + j) : v_load_part(x + j, n - j, 0)) - top);
        v_store_add(d + j, e * share * (lane * width + base), n - j, add);
    }
}

/* The first place of the maximum; 0 where there is none (all NaN). */
static size_t best_of_row(const float *x, size_t n) {
    float top = highest(x, n);
    for (size_t j = 0; j < n; j++)
        if (x[j] == top) return j;
    return 0;
}

/* Zeros outside [lo, hi) of a row of V. */
static void clear_outside(float *d, size_t V, size_t lo, size_t hi) {
    memset(d, 0, lo * sizeof *d);
    memset(d + hi, 0, (V - hi) * sizeof *d);
}

/* ---- rows of logits ---- */

typedef struct {
    const float *logits; /* [n,V] */
    const float *w;      /* [n] or NULL */
    const int32_t *target, *range;
    const float *value, *dvalue; /* [n] */
    size_t n, V, task_rows;
    float *loss_row, *out_value, *dlogits;
    float unit; /* backward: dout / sum of weights */
    bool add;
} rows_t;

static double weight_of(const float *w, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += w ? (double)w[i] : 1;
    return sum;
}
static float unit_of(const float *w, size_t n, float dout) {
    double weight = weight_of(w, n);
    return weight != 0 ? (float)(dout / weight) : 0;
}
/* sum_i w_i row_i / sum_i w_i */
static float mean_of(const float *row, const float *w, size_t n) {
    double sum = 0, weight = weight_of(w, n);
    for (size_t i = 0; i < n; i++) sum += (w ? (double)w[i] : 1) * row[i];
    return weight != 0 ? (float)(sum / weight) : 0;
}

static size_t task_rows_of(size_t V) {
    return max_size(SPAN / max_size(V, 1), 1);
}

/* Runs fn over tasks of whole rows, about SPAN floats each. */
static void rows_run(rows_t *s, pool_fn fn) {
    s->task_rows = task_rows_of(s->V);
    parallel_for(ceil_div(s->n, s->task_rows), fn, s);
}

static void xent_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        size_t lo = (size_t)s->range[2 * i], hi = (size_t)s->range[2 * i + 1];
        bool counts = !s->w || s->w[i] != 0;
        s->loss_row[i] =
            counts ? xent_row(s->logits + i * s->V + lo, hi - lo, (size_t)s->target[i] - lo) : 0;
    }
}

void kern_xent_forward(const float *logits, const int32_t *target, const int32_t *range,
                       const float *w, size_t n, size_t V, float *loss_row, float *out) {
    rows_t s = {.logits = logits,
                .target = target,
                .range = range,
                .w = w,
                .n = n,
                .V = V,
                .loss_row = loss_row};
    rows_run(&s, xent_task);
    *out = mean_of(loss_row, w, n);
}

static void xent_back_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        size_t lo = (size_t)s->range[2 * i], hi = (size_t)s->range[2 * i + 1];
        const float *x = s->logits + i * s->V + lo;
        float *row = s->dlogits + i * s->V, unit = s->w ? s->unit * s->w[i] : s->unit;
        if (s->w && s->w[i] == 0) {
            if (!s->add) memset(row, 0, s->V * sizeof *row);
            continue;
        }
        if (!s->add) clear_outside(row, s->V, lo, hi);
        xent_back_row(x, hi - lo, (size_t)s->target[i] - lo, unit, row + lo, s->add);
    }
}

void kern_xent_backward(const float *logits, const int32_t *target, const int32_t *range,
                        const float *w, size_t n, size_t V, float dout, float *dlogits, bool add) {
    rows_t s = {.logits = logits,
                .target = target,
                .range = range,
                .w = w,
                .n = n,
                .V = V,
                .dlogits = dlogits,
                .unit = unit_of(w, n, dout),
                .add = add};
    rows_run(&s, xent_back_task);
}

static void expect_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        size_t lo = (size_t)s->range[2 * i], hi = (size_t)s->range[2 * i + 1];
        s->out_value[i] = expect_row(s->logits + i * s->V + lo, hi - lo);
    }
}

void kern_expect_forward(const float *logits, const int32_t *range, size_t n, size_t V,
                         float *value) {
    rows_t s = {.logits = logits, .range = range, .n = n, .V = V, .out_value = value};
    rows_run(&s, expect_task);
}

static void expect_back_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        size_t lo = (size_t)s->range[2 * i], hi = (size_t)s->range[2 * i + 1];
        float *row = s->dlogits + i * s->V;
        if (!s->add) clear_outside(row, s->V, lo, hi);
        expect_back_row(s->logits + i * s->V + lo, hi - lo, s->value[i], s->dvalue[i], row + lo,
                        s->add);
    }
}

void kern_expect_backward(const float *logits, const int32_t *range, const float *value,
                          const float *dvalue, size_t n, size_t V, float *dlogits, bool add) {
    rows_t s = {.logits = logits,
                .range = range,
                .value = value,
                .dvalue = dvalue,
                .n = n,
                .V = V,
                .dlogits = dlogits,
                .add = add};
    rows_run(&s, expect_back_task);
}

/* ---- rows of logits that a linear layer makes, a slice at a time ---- */

typedef struct {
    const kern_head_t *g;
    float *logits; /* [rows,V] of the slice */
    size_t first, rows, task_rows;
    float *loss_row, *out_value;
    int32_t *best;
    const float *value, *dvalue;
    float unit; /* backward: dout / sum of weights; 0 = no gradient arrives at the loss */
} slice_t;

/* A function of the shape alone, so that sums over slices are added in a fixed order. */
static size_t slice_rows(const kern_head_t *g) {
    return min_size(
        g->n, max_size(SLICE / max_size(g->V, 1) / SLICE_LEAST * SLICE_LEAST, (size_t)SLICE_LEAST));
}

size_t kern_head_scratch(const kern_head_t *g) {
    return slice_rows(g) * g->V * sizeof(float);
}

/* The logits of the slice from row `first` on, then fn over tasks of its rows. */
static void slice_run(slice_t *s, size_t first, pool_fn fn) {
    const kern_head_t *g = s->g;
    s->first = first;
    s->rows = min_size(slice_rows(g), g->n - first);
    s->task_rows = task_rows_of(g->V);
    const float *x = g->x + first * g->D;
    if (g->packed)
        kern_packed_linear(g->kind, s->rows, g->V, g->D, x, g->packed, NULL, s->logits);
    else
        kern_gemm(false, true, s->rows, g->V, g->D, x, g->D, g->W, g->D, s->logits, g->V, false,
                  NULL);
    parallel_for(ceil_div(s->rows, s->task_rows), fn, s);
}

static void head_task(void *ctx, size_t task) {
    const slice_t *s = ctx;
    const kern_head_t *g = s->g;
    size_t at = task * s->task_rows, end = min_size(at + s->task_rows, s->rows);
    for (; at < end; at++) {
        size_t i = s->first + at, lo = (size_t)g->range[2 * i], hi = (size_t)g->range[2 * i + 1];
        const float *x = s->logits + at * g->V;
        bool counts = !g->w || g->w[i] != 0;
        s->loss_row[i] = counts ? xent_row(x + lo, hi - lo, (size_t)g->target[i] - lo) : 0;
        if (!g->own) continue;
        size_t own = (size_t)g->own[2 * i], n = (size_t)g->own[2 * i + 1] - own;
        s->out_value[i] = expect_row(x + own, n);
        s->best[i] = (int32_t)(own + best_of_row(x + own, n));
    }
}

void kern_head_forward(const kern_head_t *g, float *loss_row, float *out, float *value,
                       int32_t *best, void *scratch) {
    slice_t s = {.g = g, .logits = scratch, .loss_row = loss_row, .out_value = value, .best = best};
    for (size_t first = 0; first < g->n; first += s.rows) slice_run(&s, first, head_task);
    *out = mean_of(loss_row, g->w, g->n);
}

/* Logits become their gradients, in place; those that the expectation reads are copied before. */
static void head_back_task(void *ctx, size_t task) {
    const slice_t *s = ctx;
    const kern_head_t *g = s->g;
    size_t at = task * s->task_rows, end = min_size(at + s->task_rows, s->rows);
    for (; at < end; at++) {
        size_t i = s->first + at, lo = (size_t)g->range[2 * i], hi = (size_t)g->range[2 * i + 1];
        float *x = s->logits + at * g->V, unit = g->w ? s->unit * g->w[i] : s->unit, *copy = NULL;
        size_t own = 0, n = 0;
        if (s->dvalue && s->dvalue[i] != 0) {
            own = (size_t)g->own[2 * i];
            n = (size_t)g->own[2 * i + 1] - own;
            copy = scratch_get(SCRATCH_HEAD_TASK, n * sizeof *copy);
            memcpy(copy, x + own, n * sizeof *copy);
        }
        if (unit != 0) {
            clear_outside(x, g->V, lo, hi);
            xent_back_row(x + lo, hi - lo, (size_t)g->target[i] - lo, unit, x + lo, false);
        } else {
            memset(x, 0, g->V * sizeof *x);
        }
        if (copy) expect_back_row(copy, n, s->value[i], s->dvalue[i], x + own, true);
    }
}

void kern_head_backward(const kern_head_t *g, float dout, const float *value, const float *dvalue,
                        float *dx, bool add_x, float *dW, bool add_W, void *scratch) {
    slice_t s = {.g = g,
                 .logits = scratch,
                 .value = value,
                 .dvalue = dvalue,
                 .unit = unit_of(g->w, g->n, dout)};
    if (dW && !add_W && !g->n) memset(dW, 0, g->V * g->D * sizeof *dW);
    for (size_t first = 0; first < g->n; first += s.rows) {
        slice_run(&s, first, head_back_task);
        if (dx)
            kern_gemm_train(false, false, s.rows, g->D, g->V, s.logits, g->V, g->W, g->D,
                            dx + first * g->D, g->D, add_x);
        if (dW)
            kern_gemm_train(true, false, g->V, g->D, s.rows, s.logits, g->V, g->x + first * g->D,
                            g->D, dW, g->D, add_W || first);
    }
}
