/* fsq.c - finite scalar quantization (fsq.h has the formulas): every channel is squashed to its
 * levels and rounded. The code is the mixed-radix number of the channels, the first one fastest.
 *
 * In double: there is a handful of channels, and a code must not depend on the last bit of a fast
 * tanh.
 */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"

#include <math.h>
#include <string.h>

enum { ROWS = 256 /* vectors of a task */ };

typedef struct {
    const kern_fsq_t *f;
    const float *z, *dq;
    size_t n;
    int32_t *idx;
    float *q, *dz;
    bool add;
} fsq_t;

/* A channel's constants, so that tanh(z + shift) h - o spans its levels:
 *   h = (l-1) * 1.001 / 2,  o = 1/2 for even l, else 0,  shift = atanh(o/h). */
static void bound_of(int32_t level, double *h, double *o, double *shift) {
    *h = (level - 1) * 1.001 / 2;
    *o = level % 2 ? 0 : 0.5;
    *shift = atanh(*o / *h);
}

static size_t rows_of(const fsq_t *v, size_t task) {
    return min_size(v->n - task * ROWS, ROWS);
}

/* Codes and vectors of ROWS rows, a channel at a time. */
static void forward_task(void *ctx, size_t task) {
    const fsq_t *v = ctx;
    size_t D = v->f->n, rows = rows_of(v, task);
    const float *z = v->z + task * ROWS * D;
    float *q = v->q + task * ROWS * D;
    int32_t *idx = v->idx + task * ROWS, place = 1;
    memset(idx, 0, rows * sizeof *idx);
    for (size_t d = 0; d < D; d++) {
        int32_t level = v->f->level[d], half = level / 2;
        double h, o, shift;
        bound_of(level, &h, &o, &shift);
        for (size_t i = 0; i < rows; i++) {
            double r = rint(tanh((double)z[i * D + d] + shift) * h - o); /* ties to even */
            int32_t k = -half; /* the lowest level, NaN's too */
            if (r > -half) k = (int32_t)fmin(r, level - 1 - half);
            q[i * D + d] = (float)k / (float)half;
            idx[i] += (k + half) * place;
        }
        place *= level;
    }
}

void kern_fsq_forward(const kern_fsq_t *f, const float *z, size_t n, int32_t *idx, float *q) {
    fsq_t v = {.f = f, .z = z, .n = n, .idx = idx, .q = q};
    parallel_for(ceil_div(n, ROWS), forward_task, &v);
}

/* q = b / floor(l/2), not rounded. */
static void bound_task(void *ctx, size_t task) {
    const fsq_t *v = ctx;
    size_t D = v->f->n, rows = rows_of(v, task), at = task * ROWS * D;
    for (size_t d = 0; d < D; d++) {
        double h, o, shift;
        bound_of(v->f->level[d], &h, &o, &shift);
        for (size_t i = at + d; i < at + rows * D; i += D)
            v->q[i] = (float)((tanh((double)v->z[i] + shift) * h - o) / (v->f->level[d] / 2));
    }
}

void kern_fsq_bound(const kern_fsq_t *f, const float *z, size_t n, float *q) {
    fsq_t v = {.f = f, .z = z, .n = n, .q = q};
    parallel_for(ceil_div(n, ROWS), bound_task, &v);
}

/* dz (+)= dq h (1 - t^2) / floor(l/2), t = tanh(z + shift): rounding counts as the identity. */
static void backward_task(void *ctx, size_t task) {
    const fsq_t *v = ctx;
    size_t D = v->f->n, rows = rows_of(v, task), at = task * ROWS * D;
    for (size_t d = 0; d < D; d++) {
        double h, o, shift;
        bound_of(v->f->level[d], &h, &o, &shift);
        for (size_t i = at + d; i < at + rows * D; i += D) {
            double t = tanh((double)v->z[i] + shift);
            float g = (float)(v->dq[i] * h * (1 - t * t) / (v->f->level[d] / 2));
            v->dz[i] = v->add ? v->dz[i] + g : g;
        }
    }
}

void kern_fsq_backward(const kern_fsq_t *f, const float *z, const float *dq, size_t n, float *dz,
                       bool add) {
    fsq_t v = {.f = f, .z = z, .dq = dq, .n = n, .dz = dz, .add = add};
    parallel_for(ceil_div(n, ROWS), backward_task, &v);
}

size_t kern_fsq_codes(const kern_fsq_t *f) {
    size_t K = 1;
    for (size_t d = 0; d < f->n; d++) K *= (size_t)f->level[d];
    return K;
}

void kern_fsq_vectors(const kern_fsq_t *f, const int32_t *idx, size_t n, float *q) {
    for (size_t i = 0; i < n; i++) {
        int32_t rest = idx ? idx[i] : (int32_t)i;
        for (size_t d = 0; d < f->n; d++) {
            int32_t half = f->level[d] / 2;
            q[i * f->n + d] = (float)(rest % f->level[d] - half) / (float)half;
            rest /= f->level[d];
        }
    }
}
