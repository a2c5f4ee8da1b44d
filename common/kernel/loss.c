/* loss.c - scalar losses, and softmax over a range of columns: cross entropy and the expected
 * center of a bin (loss.h).
 *
 * Sums over rows are doubles in at most KERN_PIECES pieces fixed by the number of rows, added in
 * order. Nothing of a softmax is kept: the backward computes it again from the logits, which costs
 * less than reading a second matrix from memory.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    PIECE_MIN = 16384, /* least floats of a piece */
    SPAN = 16384,      /* floats of an elementwise task */
    BLOCK = 512        /* elements summed in float before doubles take over */
};

/* d (+)= g, the first `left` lanes. */
VMATH void store_add(float *d, vf g, size_t left, bool add) {
    if (left >= VL) {
        v_store(d, add ? v_load(d) + g : g);
    } else {
        v_store_part(d, add ? v_load_part(d, left, 0) + g : g, left);
    }
}

/* ---- L1, MSE ---- */

typedef struct {
    kern_loss_t f;
    const float *a, *b; /* [rows,C] */
    const float *w;     /* [rows] or NULL */
    size_t rows, C;
    size_t piece; /* rows of a piece, or of a backward task */
    double sum[KERN_PIECES];
    float unit; /* backward: dout / sum of weights */
    float *da;
    bool add;
} pair_t;

/* out[n] = the weights of n elements from element `first` on. Rows are short (three channels), so
 * their weights are spread out before the vectors run. */
static void spread_weights(const float *w, size_t C, size_t first, size_t n, float *out) {
    size_t row = first / C, c = first % C;
    for (size_t i = 0; i < n; row++, c = 0) {
        size_t end = min_size(n, i + C - c);
        for (; i < end; i++) out[i] = w[row];
    }
}

/* a - b for elements i .. i+VL-1 of a block of n, 0 beyond. */
VMATH vf difference(const float *a, const float *b, size_t i, size_t n) {
    if (i + VL <= n) return v_load(a + i) - v_load(b + i);
    return v_load_part(a + i, n - i, 0) - v_load_part(b + i, n - i, 0);
}
/* w x, and 0 where w is 0 even if x is NaN. */
VMATH vf weighted(vf w, vf x) {
    return (vf)((vi)(w * x) & (vi)(w != 0.f));
}

/* sum_i w_i f(a_i - b_i) over n elements, BLOCK at most; two vectors of float sums, then
 * doubles. */
VMATH double block_sum(kern_loss_t f, const float *a, const float *b, const float *w, size_t n) {
    vf s[2] = {{0}};
    for (size_t i = 0; i < n; i += VL) {
        vf d = difference(a, b, i, n);
        s[i / VL % 2] += weighted(v_load(w + i), f == LOSS_L1 ? v_abs(d) : d * d);
    }
    return v_total(v_widen_add(v_widen_add((vd){0}, s[0]), s[1]));
}

static void fill_ones(float *w) {
    for (size_t i = 0; i < BLOCK; i++) w[i] = 1;
}

/* The sum of one piece, a block at a time. */
static void pair_task(void *ctx, size_t piece) {
    pair_t *p = ctx;
    size_t C = p->C, first = piece * p->piece * C,
           end = min_size((piece + 1) * p->piece, p->rows) * C;
    float w[BLOCK];
    double sum = 0;
    fill_ones(w);
    for (size_t at = first; at < end; at += BLOCK) {
        size_t n = min_size(BLOCK, end - at);
        if (p->w) spread_weights(p->w, C, at, n, w);
        sum += p->f == LOSS_L1 ? block_sum(LOSS_L1, p->a + at, p->b + at, w, n)
                               : block_sum(LOSS_MSE, p->a + at, p->b + at, w, n);
    }
    p->sum[piece] = sum;
}

/* The weights of all elements, summed serially: there is one float per row. */
static double weight_sum(const float *w, size_t rows, size_t C) {
    if (!w) return (double)rows * (double)C;
    double s = 0;
    for (size_t r = 0; r < rows; r++) s += (double)w[r];
    return s * (double)C;
}

void kern_loss_forward(kern_loss_t f, const float *a, const float *b, const float *w, size_t rows,
                       size_t C, float *out) {
    pair_t p = {.f = f, .a = a, .b = b, .w = w, .rows = rows, .C = C};
    p.piece = max_size(ceil_div(rows, KERN_PIECES), ceil_div(PIECE_MIN, max_size(C, 1)));
    size_t pieces = ceil_div(rows, p.piece);
    parallel_for(pieces, pair_task, &p);
    double sum = 0, weight = weight_sum(w, rows, C);
    for (size_t i = 0; i < pieces; i++) sum += p.sum[i];
    *out = weight != 0 ? (float)(sum / weight) : 0;
}

/* da (+)= unit w f'(a - b) over n elements; f' is the sign of d (0 stays 0, NaN stays NaN) or 2
 * d. */
VMATH void slope_block(kern_loss_t f, const float *a, const float *b, const float *w, size_t n,
                       float unit, float *da, bool add) {
    for (size_t i = 0; i < n; i += VL) {
        vf d = difference(a, b, i, n);
        vf s = f == LOSS_L1 ? v_select(d == 0.f, d, v_sign_of(v_set(1), d)) : d + d;
        store_add(da + i, weighted(v_load(w + i), s) * unit, n - i, add);
    }
}

/* da of a task's rows, a block at a time. */
static void slope_task(void *ctx, size_t task) {
    const pair_t *p = ctx;
    size_t C = p->C, first = task * p->piece * C,
           end = min_size((task + 1) * p->piece, p->rows) * C;
    float w[BLOCK];
    fill_ones(w);
    for (size_t at = first; at < end; at += BLOCK) {
        size_t n = min_size(BLOCK, end - at);
        if (p->w) spread_weights(p->w, C, at, n, w);
        if (p->f == LOSS_L1)
            slope_block(LOSS_L1, p->a + at, p->b + at, w, n, p->unit, p->da + at, p->add);
        else
            slope_block(LOSS_MSE, p->a + at, p->b + at, w, n, p->unit, p->da + at, p->add);
    }
}

void kern_loss_backward(kern_loss_t f, const float *a, const float *b, const float *w, size_t rows,
                        size_t C, float dout, float *da, bool add) {
    pair_t p = {.f = f, .a = a, .b = b, .w = w, .rows = rows, .C = C, .da = da, .add = add};
    double weight = weight_sum(w, rows, C);
    p.unit = weight != 0 ? (float)(dout / weight) : 0;
    p.piece = ceil_div(SPAN, max_size(C, 1));
    parallel_for(ceil_div(rows, p.piece), slope_task, &p);
}

/* ---- softmax over columns [lo, hi) of a row ---- */

/* With top = max x and S = sum_j exp(x_j - top), p_j = exp(x_j - top) / S. A row is read twice:
 * once for its maximum, once for its sum.
 */

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

/* sum_i w_i */
static double weight_of(const rows_t *s) {
    double sum = 0;
    for (size_t i = 0; i < s->n; i++) sum += s->w ? (double)s->w[i] : 1;
    return sum;
}

/* Runs fn over tasks of whole rows, about SPAN floats each. */
static void rows_run(rows_t *s, pool_fn fn) {
    s->task_rows = max_size(SPAN / max_size(s->V, 1), 1);
    parallel_for(ceil_div(s->n, s->task_rows), fn, s);
}

/* loss_row = log S + top - x_target */
static void xent_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        s->loss_row[i] = 0;
        if (s->w && s->w[i] == 0) continue;
        const float *x = s->logits + i * s->V + s->range[2 * i];
        size_t n = (size_t)(s->range[2 * i + 1] - s->range[2 * i]);
        float top = highest(x, n);
        s->loss_row[i] = (float)(log(exp_sums(x, n, top, false, NULL)) +
                                 ((double)top - s->logits[i * s->V + (size_t)s->target[i]]));
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
    double sum = 0, weight = weight_of(&s);
    for (size_t i = 0; i < n; i++) sum += (w ? (double)w[i] : 1) * loss_row[i];
    *out = weight != 0 ? (float)(sum / weight) : 0;
}

/* Row i of dlogits: zeros outside the range, unless the caller adds. */
static void clear_outside(const rows_t *s, size_t i, float *d) {
    if (s->add) return;
    size_t lo = (size_t)s->range[2 * i], hi = (size_t)s->range[2 * i + 1];
    memset(d, 0, lo * sizeof *d);
    memset(d + hi, 0, (s->V - hi) * sizeof *d);
}

/* dx_j (+)= unit w (p_j - [j = target]). The target is written last, from p - 1 itself: adding the
 * two parts one after the other would round twice. */
static void xent_back_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        size_t lo = (size_t)s->range[2 * i], n = (size_t)s->range[2 * i + 1] - lo,
               hit = (size_t)s->target[i] - lo;
        const float *x = s->logits + i * s->V + lo;
        float *row = s->dlogits + i * s->V, *d = row + lo,
              unit = s->w ? s->unit * s->w[i] : s->unit;
        if (s->w && s->w[i] == 0) {
            if (!s->add) memset(row, 0, s->V * sizeof *row);
            continue;
        }
        clear_outside(s, i, row);
        float top = highest(x, n), share = (float)(1 / exp_sums(x, n, top, false, NULL));
        float before = s->add ? d[hit] : 0, p = v_exp_down(v_set(x[hit] - top))[0] * share;
        for (size_t j = 0; j < n; j += VL) {
            vf e = v_exp_down((j + VL <= n ? v_load(x + j) : v_load_part(x + j, n - j, 0)) - top);
            store_add(d + j, e * share * unit, n - j, s->add);
        }
        d[hit] = before + (p - 1.f) * unit;
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
                .add = add};
    double weight = weight_of(&s);
    s.unit = weight != 0 ? (float)(dout / weight) : 0;
    rows_run(&s, xent_back_task);
}

/* value = sum_j p_j c_j with c_j = (2j+1)/bins - 1: the sum of (2j+1) is scaled once. */
static void expect_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        const float *x = s->logits + i * s->V + s->range[2 * i];
        size_t bins = (size_t)(s->range[2 * i + 1] - s->range[2 * i]);
        double odd, sum = exp_sums(x, bins, highest(x, bins), true, &odd);
        s->out_value[i] = (float)(odd / sum / (double)bins - 1);
    }
}

void kern_expect_forward(const float *logits, const int32_t *range, size_t n, size_t V,
                         float *value) {
    rows_t s = {.logits = logits, .range = range, .n = n, .V = V, .out_value = value};
    rows_run(&s, expect_task);
}

/* dx_j (+)= dvalue p_j (c_j - value) */
static void expect_back_task(void *ctx, size_t task) {
    const rows_t *s = ctx;
    size_t first = task * s->task_rows, end = min_size(first + s->task_rows, s->n);
    for (size_t i = first; i < end; i++) {
        size_t lo = (size_t)s->range[2 * i], bins = (size_t)s->range[2 * i + 1] - lo;
        const float *x = s->logits + i * s->V + lo;
        float *row = s->dlogits + i * s->V, top = highest(x, bins);
        float share = (float)(s->dvalue[i] / exp_sums(x, bins, top, false, NULL)),
              base = -1.f - s->value[i], width = 1.f / (float)bins;
        vf lane = v_odd();
        clear_outside(s, i, row);
        for (size_t j = 0; j < bins; j += VL, lane += 2.f * VL) {
            vf e = v_exp_down((j + VL <= bins ? v_load(x + j) : v_load_part(x + j, bins - j, 0)) -
                              top);
            store_add(row + lo + j, e * share * (lane * width + base), bins - j, s->add);
        }
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
