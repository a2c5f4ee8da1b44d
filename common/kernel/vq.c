/* vq.c - nearest code, the statistics of an assignment, unit rows and the rotation trick's gradient
 * (vq.h).
 *
 * The nearest code of z minimizes |z - e_k|^2 = |z|^2 - 2 z.e_k + |e_k|^2. The first term is the
 * same for every code, so the nearest code is the one with the greatest
 *
 *     score[k] = z.e_k - |e_k|^2 / 2
 *
 * which is a matrix product [ROWS,D] [D,CODES] with a bias, and a scan for the first maximum while
 * the scores are in cache.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    ROWS = 256,  /* vectors of a task */
    CODES = 256, /* codes scored at a time: ROWS x CODES floats stay in L2 */
    STRIP = 32   /* columns of a statistics task */
};
/* Least norms that are divided by: of unit rows, and of the rotation. */
static const double UNIT_FLOOR = 1e-12, TURN_FLOOR = 1e-6;

/* ---- the nearest code ---- */

typedef struct {
    const float *z; /* [n,D] */
    size_t n, K, D;
    int32_t *idx;
    const float *panels, *minus_half; /* the codes packed; -|e_k|^2 / 2, [K] */
} nearest_t;

/* Continues the search for the first maximum over score[n], the scores of codes first .. first+n-1:
 * *best and *at are the best score and its code so far.
 *
 * Each lane keeps its own maximum and where it was. At the end the lanes are compared, the lower
 * index winning a tie, as a plain loop would find it. */
static void scan(const float *score, size_t n, size_t first, float *best, int32_t *at) {
    vf high = v_set(-INFINITY);
    vi where = {0}, lane = v_lanes();
    size_t j = 0;
    for (; j + VL <= n; j += VL, lane += VL) {
        vf s = v_load(score + j);
        vi more = s > high;
        high = v_max(s, high);
        where = (more & lane) | (~more & where);
    }
    float top = -INFINITY;
    size_t k = 0;
    for (size_t i = 0; i < VL; i++)
        if (high[i] > top || (high[i] == top && (size_t)where[i] < k)) {
            top = high[i];
            k = (size_t)where[i];
        }
    for (; j < n; j++)
        if (score[j] > top) {
            top = score[j];
            k = j;
        }
    if (top > *best) {
        *best = top;
        *at = (int32_t)(first + k);
    }
}

/* The codes of ROWS vectors, CODES codes at a time. */
static void nearest_task(void *ctx, size_t task) {
    const nearest_t *v = ctx;
    size_t first = task * ROWS, rows = min_size(ROWS, v->n - first);
    float *score = scratch_get(SCRATCH_VQ_TASK, ROWS * CODES * sizeof *score), best[ROWS];
    for (size_t i = 0; i < rows; i++) {
        best[i] = -INFINITY;
        v->idx[first + i] = 0; /* stays when every score is NaN */
    }
    for (size_t k = 0; k < v->K; k += CODES) {
        size_t codes = min_size(CODES, v->K - k);
        kern_packed_columns(WEIGHTS_F32, rows, v->K, v->D, v->z + first * v->D, v->panels,
                            v->minus_half, k, k + codes, score);
        for (size_t i = 0; i < rows; i++)
            scan(score + i * codes, codes, k, &best[i], &v->idx[first + i]);
    }
}

/* Floats of the packed codes, in whole cache lines; minus_half lies behind them. */
static size_t panel_floats(size_t K, size_t D) {
    return round_up(kern_pack_bytes(WEIGHTS_F32, D, K) / sizeof(float), 16);
}

size_t kern_vq_pack_bytes(size_t K, size_t D) {
    return (panel_floats(K, D) + K) * sizeof(float);
}

void kern_vq_pack(const float *e, size_t K, size_t D, float *packed) {
    float *minus_half = packed + panel_floats(K, D);
    kern_pack(WEIGHTS_F32, true, D, K, e, packed);
    for (size_t k = 0; k < K; k++) {
        double s = 0;
        for (size_t d = 0; d < D; d++) s += (double)e[k * D + d] * e[k * D + d];
        minus_half[k] = (float)(-0.5 * s);
    }
}

void kern_vq_nearest_packed(const float *z, size_t n, const float *packed, size_t K, size_t D,
                            int32_t *idx) {
    nearest_t v = {.z = z,
                   .n = n,
                   .K = K,
                   .D = D,
                   .idx = idx,
                   .panels = packed,
                   .minus_half = packed + panel_floats(K, D)};
    parallel_for(ceil_div(n, ROWS), nearest_task, &v);
}

void kern_vq_nearest(const float *z, size_t n, const float *e, size_t K, size_t D, int32_t *idx) {
    float *packed = scratch_get(SCRATCH_VQ, kern_vq_pack_bytes(K, D));
    kern_vq_pack(e, K, D, packed);
    kern_vq_nearest_packed(z, n, packed, K, D, idx);
}

/* ---- statistics of an assignment ---- */

typedef struct {
    const float *z; /* [n,D] */
    const int32_t *idx;
    size_t n, K, D;
    float *counts, *sums; /* [K], [K,D] */
} stats_t;

/* STRIP columns of the sums. Every task walks all vectors, so a sum adds them in order of i
 * whatever the threads. The strip behind the last column counts. */
static void stats_task(void *ctx, size_t strip) {
    const stats_t *s = ctx;
    size_t D = s->D, first = strip * STRIP;
    if (first >= D) {
        memset(s->counts, 0, s->K * sizeof *s->counts);
        for (size_t i = 0; i < s->n; i++) s->counts[s->idx[i]] += 1;
        return;
    }
    size_t width = min_size(STRIP, D - first);
    for (size_t k = 0; k < s->K; k++) memset(s->sums + k * D + first, 0, width * sizeof *s->sums);
    for (size_t i = 0; i < s->n; i++) {
        const float *restrict z = s->z + i * D + first;
        float *restrict sum = s->sums + (size_t)s->idx[i] * D + first;
        for (size_t d = 0; d < width; d++) sum[d] += z[d];
    }
}

void kern_vq_stats(const float *z, const int32_t *idx, size_t n, size_t K, size_t D, float *counts,
                   float *sums) {
    stats_t s = {.z = z, .idx = idx, .n = n, .K = K, .D = D, .counts = counts, .sums = sums};
    parallel_for(ceil_div(D, STRIP) + 1, stats_task, &s);
}

/* ---- one vector at a time: sums in double ---- */

typedef struct {
    const float *x, *q, *dy; /* [n,D] */
    size_t n, D;
    float *out;
    bool add;
} each_t;

static double dot(const float *a, const float *b, size_t D) {
    double s = 0;
    for (size_t d = 0; d < D; d++) s += (double)a[d] * b[d];
    return s;
}

static void each_block(pool_fn fn, each_t *v) {
    parallel_for(ceil_div(v->n, ROWS), fn, v);
}

/* y = x / |x| */
static void unit_task(void *ctx, size_t task) {
    const each_t *v = ctx;
    size_t D = v->D, last = min_size(v->n, (task + 1) * ROWS);
    for (size_t i = task * ROWS; i < last; i++) {
        const float *x = v->x + i * D;
        double norm = fmax(sqrt(dot(x, x, D)), UNIT_FLOOR);
        for (size_t d = 0; d < D; d++) v->out[i * D + d] = (float)(x[d] / norm);
    }
}

void kern_unit_rows_forward(const float *x, size_t n, size_t D, float *y) {
    each_block(unit_task, &(each_t){.x = x, .n = n, .D = D, .out = y});
}

/* y = x/|x|: dx = (dy - y (y.dy)) / |x| */
static void unit_backward_task(void *ctx, size_t task) {
    const each_t *v = ctx;
    size_t D = v->D, last = min_size(v->n, (task + 1) * ROWS);
    for (size_t i = task * ROWS; i < last; i++) {
        const float *x = v->x + i * D, *dy = v->dy + i * D;
        float *dx = v->out + i * D;
        double length = sqrt(dot(x, x, D)), norm = fmax(length, UNIT_FLOOR),
               along = length > UNIT_FLOOR ? dot(x, dy, D) / (norm * norm) : 0;
        for (size_t d = 0; d < D; d++) {
            float g = (float)((dy[d] - along * x[d]) / norm);
            dx[d] = v->add ? dx[d] + g : g;
        }
    }
}

void kern_unit_rows_backward(const float *x, const float *dy, size_t n, size_t D, float *dx,
                             bool add) {
    each_block(unit_backward_task,
               &(each_t){.x = x, .dy = dy, .n = n, .D = D, .out = dx, .add = add});
}

/* dz = |q|/|z| (dq - 2 (dq.w) w + 2 (dq.v) u), with u = z/|z|, v = q/|q|, w = (u+v)/|u+v|.
 *
 * The reflections that turn u onto v make R = 1 - 2 w w^T + 2 v u^T; this is its transpose times
 * dq, stretched. In one pass over the channels: |u+v|, dq.(u+v) and dq.v; in a second one the
 * result. */
static void rotate_task(void *ctx, size_t task) {
    const each_t *v = ctx;
    size_t D = v->D, last = min_size(v->n, (task + 1) * ROWS);
    for (size_t i = task * ROWS; i < last; i++) {
        const float *z = v->x + i * D, *q = v->q + i * D, *g = v->dy + i * D;
        float *dz = v->out + i * D;
        double length = sqrt(dot(q, q, D)), to_u = 1 / fmax(sqrt(dot(z, z, D)), TURN_FLOOR),
               to_v = 1 / fmax(length, TURN_FLOOR), sum = 0, gw = 0, gv = 0;
        for (size_t d = 0; d < D; d++) {
            double s = z[d] * to_u + q[d] * to_v; /* u + v, which is w before its scale */
            sum += s * s;
            gw += g[d] * s;
            gv += g[d] * (q[d] * to_v);
        }
        double to_w = 1 / fmax(sqrt(sum), TURN_FLOOR), stretch = length * to_u;
        for (size_t d = 0; d < D; d++) {
            double u = z[d] * to_u, w = (u + q[d] * to_v) * to_w;
            float out = (float)(stretch * (g[d] - 2 * (gw * to_w) * w + 2 * gv * u));
            dz[d] = v->add ? dz[d] + out : out;
        }
    }
}

void kern_vq_rotate_backward(const float *z, const float *q, const float *dq, size_t n, size_t D,
                             float *dz, bool add) {
    each_block(rotate_task,
               &(each_t){.x = z, .q = q, .dy = dq, .n = n, .D = D, .out = dz, .add = add});
}
