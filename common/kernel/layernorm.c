/* layernorm.c - LayerNorm over rows (norm.h).
 *
 * A row is normalized by itself, so a task is some rows. dgamma and dbeta are sums over rows: float
 * over a few rows, double over a piece, and pieces are added in order.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/slots.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum {
    LAYER_FLOATS = 8192, /* floats of a forward task */
    LAYER_BLOCK = 32     /* rows whose dgamma, dbeta are summed in float */
};

typedef struct {
    size_t rows, C, task_rows;
    float eps;
    const float *x, *gamma, *beta, *dy;
    float *y, *mean, *rstd, *dx;
    bool add_dx;
    double *parts; /* [pieces][2][C]: dgamma, dbeta */
} layer_t;

/* sum_j x[j] of a row [C]: four vectors of sums, so that additions need not wait for each other. */
static float row_sum(const float *x, size_t C) {
    vf s[4] = {{0}};
    size_t j = 0;
    for (; j + 4 * VL <= C; j += 4 * VL)
        for (int v = 0; v < 4; v++) s[v] += v_load(x + j + (size_t)v * VL);
    for (; j < C; j += VL) s[0] += j + VL <= C ? v_load(x + j) : v_load_part(x + j, C - j, 0);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

/* sum_j (x[j] - mean)^2; the lanes beyond the row hold the mean, and so add 0. */
static float row_squares(const float *x, size_t C, float mean) {
    vf s[4] = {{0}}, m = v_set(mean);
    size_t j = 0;
    for (; j + 4 * VL <= C; j += 4 * VL)
        for (int v = 0; v < 4; v++) {
            vf d = v_load(x + j + (size_t)v * VL) - m;
            s[v] += d * d;
        }
    for (; j < C; j += VL) {
        vf d = (j + VL <= C ? v_load(x + j) : v_load_part(x + j, C - j, mean)) - m;
        s[0] += d * d;
    }
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

/* y = (x - mean) rstd gamma + beta for the rows of a task. The mean comes first and the deviations
 * from it second: the row is in L1 for both, and no digits are lost to a large mean. */
static void layer_forward_task(void *ctx, size_t task) {
    const layer_t *l = ctx;
    size_t C = l->C, end = min_size((task + 1) * l->task_rows, l->rows);
    for (size_t r = task * l->task_rows; r < end; r++) {
        const float *x = l->x + r * C;
        float *y = l->y + r * C;
        float mean = row_sum(x, C) / (float)C,
              rstd = 1.f / sqrtf(row_squares(x, C, mean) / (float)C + l->eps);
        size_t j = 0;
        for (; j + VL <= C; j += VL)
            v_store(y + j,
                    (v_load(x + j) - mean) * rstd * v_load(l->gamma + j) + v_load(l->beta + j));
        if (j < C) {
            vf t =
                (v_load_part(x + j, C - j, 0) - mean) * rstd * v_load_part(l->gamma + j, C - j, 0);
            v_store_part(y + j, t + v_load_part(l->beta + j, C - j, 0), C - j);
        }
        l->mean[r] = mean;
        l->rstd[r] = rstd;
    }
}

void kern_layernorm_forward(const float *x, const float *gamma, const float *beta, size_t rows,
                            size_t C, float eps, float *y, float *mean, float *rstd) {
    if (!rows || !C) return;
    layer_t l = {.rows = rows,
                 .C = C,
                 .eps = eps,
                 .x = x,
                 .gamma = gamma,
                 .beta = beta,
                 .y = y,
                 .mean = mean,
                 .rstd = rstd};
    l.task_rows = max_size(LAYER_FLOATS / C, 1);
    parallel_for(ceil_div(rows, l.task_rows), layer_forward_task, &l);
}

/* Row r: with g = gamma dy, h = xhat = (x - mean) rstd and means over the row,
 *   dx = rstd (g - mean(g) - h mean(g h)).
 * Adds dy xhat and dy to the float sums dg and db [C, padded to whole vectors]. */
static void layer_backward_row(const layer_t *l, size_t r, float *restrict dg, float *restrict db) {
    size_t C = l->C;
    const float *x = l->x + r * C, *dy = l->dy + r * C, *gamma = l->gamma;
    float rstd = l->rstd[r], center = -l->mean[r] * rstd;
    vf a0 = {0}, a1 = {0};
    for (size_t j = 0; j < C; j += VL) {
        size_t left = C - j;
        vf t, d, g;
        if (left >= VL) {
            t = v_load(x + j);
            d = v_load(dy + j);
            g = v_load(gamma + j);
        } else {
            t = v_load_part(x + j, left, 0);
            d = v_load_part(dy + j, left, 0);
            g = v_load_part(gamma + j, left, 0);
        }
        vf h = t * rstd + center;
        a0 += d * g;
        a1 += d * g * h;
        v_store(dg + j, v_load(dg + j) + d * h);
        v_store(db + j, v_load(db + j) + d);
    }
    if (!l->dx) return;
    float m0 = v_sum(a0) / (float)C, m1 = v_sum(a1) / (float)C, *dx = l->dx + r * C;
    size_t j = 0;
    for (; j + VL <= C; j += VL) {
        vf h = v_load(x + j) * rstd + center,
           d = rstd * (v_load(dy + j) * v_load(gamma + j) - m0 - h * m1);
        v_store(dx + j, l->add_dx ? v_load(dx + j) + d : d);
    }
    if (j < C) {
        size_t left = C - j;
        vf h = v_load_part(x + j, left, 0) * rstd + center,
           d = rstd *
               (v_load_part(dy + j, left, 0) * v_load_part(gamma + j, left, 0) - m0 - h * m1);
        v_store_part(dx + j, l->add_dx ? v_load_part(dx + j, left, 0) + d : d, left);
    }
}

/* The rows of one piece: their dx, and their sums of dy xhat and dy [2][C] in doubles. */
static void layer_backward_task(void *ctx, size_t piece) {
    const layer_t *l = ctx;
    size_t C = l->C, wide = ceil_div(C, VL) * VL,
           end = min_size((piece + 1) * l->task_rows, l->rows);
    float *dg = scratch_get(SCRATCH_NORM_TASK, 2 * wide * sizeof *dg), *db = dg + wide;
    double *sum = l->parts + piece * 2 * C;
    memset(sum, 0, 2 * C * sizeof *sum);
    for (size_t r = piece * l->task_rows; r < end;) {
        size_t block = min_size(end, r + LAYER_BLOCK);
        memset(dg, 0, 2 * wide * sizeof *dg);
        for (; r < block; r++) layer_backward_row(l, r, dg, db);
        for (size_t j = 0; j < C; j++) {
            sum[j] += (double)dg[j];
            sum[C + j] += (double)db[j];
        }
    }
}

void kern_layernorm_backward(const float *x, const float *gamma, const float *mean,
                             const float *rstd, const float *dy, size_t rows, size_t C, float *dx,
                             bool add_dx, float *dgamma, bool add_dgamma, float *dbeta,
                             bool add_dbeta) {
    if (!C) return;
    layer_t l = {.rows = rows,
                 .C = C,
                 .x = x,
                 .gamma = gamma,
                 .dy = dy,
                 .mean = (float *)mean, /* read only here */
                 .rstd = (float *)rstd,
                 .dx = dx,
                 .add_dx = add_dx};
    l.task_rows = max_size(ceil_div(rows, KERN_PIECES), LAYER_BLOCK);
    size_t pieces = ceil_div(rows, l.task_rows);
    l.parts = scratch_get(SCRATCH_NORM, (pieces + 1) * 2 * C * sizeof *l.parts);
    parallel_for(pieces, layer_backward_task, &l);
    for (size_t j = 0; j < C; j++) {
        double g = 0, b = 0;
        for (size_t p = 0; p < pieces; p++) {
            g += l.parts[p * 2 * C + j];
            b += l.parts[p * 2 * C + C + j];
        }
        if (dgamma) dgamma[j] = (float)(add_dgamma ? dgamma[j] + g : g);
        if (dbeta) dbeta[j] = (float)(add_dbeta ? dbeta[j] + b : b);
    }
}
