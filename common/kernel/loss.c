/* loss.c - L1 and MSE (loss.h).
 *
 * Sums over rows are doubles in at most KERN_PIECES pieces fixed by the number of rows, added in
 * order.
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
        v_store_add(da + i, weighted(v_load(w + i), s) * unit, n - i, add);
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
