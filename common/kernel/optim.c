/* optim.c - Adam and AdamW as one sweep over one block, and the gradient's sum of squares
 * (optim.h). */
#include "common/base/pool.h"
#include "common/base/sizes.h"
#include "common/kernel/kernel.h"
#include "common/kernel/vmath.h"

#include <math.h>

enum { SPAN = 16384 /* elements of a task, least of a piece */ };

/* One update with what depends on the step alone worked out:
 *   g <- scale g + l2 w
 *   w <- decay w - rate m / (root sqrt(v) + eps)
 * with rate = lr/(1 - beta1^t) and root = 1/sqrt(1 - beta2^t). */
typedef struct {
    float scale, decay, l2, beta1, beta2, rate, root, eps;
    float *w, *m, *v;
    const float *g;
    size_t n;
} sweep_t;

/* A span. The struct is copied, so that the compiler knows that stores to w, m, v leave it
 * alone. */
static void adam_task(void *ctx, size_t task) {
    const sweep_t s = *(const sweep_t *)ctx;
    size_t at = task * SPAN, n = min_size(s.n - at, SPAN);
    float *restrict w = s.w + at, *restrict m = s.m + at, *restrict v = s.v + at;
    const float *restrict g = s.g + at;
    const float keep1 = s.beta1, new1 = 1.f - s.beta1, keep2 = s.beta2, new2 = 1.f - s.beta2;
    for (size_t i = 0; i < n; i++) {
        float gi = g[i] * s.scale + s.l2 * w[i];
        float first = keep1 * m[i] + new1 * gi;
        float second = keep2 * v[i] + new2 * (gi * gi);
        m[i] = first;
        v[i] = second;
        w[i] = w[i] * s.decay - s.rate * first / (sqrtf(second) * s.root + s.eps);
    }
}

void kern_adam(const kern_adam_t *o, float *w, const float *g, float *m, float *v, size_t n) {
    double c1 = 1 - pow((double)o->beta1, (double)o->step),
           c2 = 1 - pow((double)o->beta2, (double)o->step);
    sweep_t s = {.scale = o->grad_scale,
                 .beta1 = o->beta1,
                 .beta2 = o->beta2,
                 .eps = o->eps,
                 .w = w,
                 .g = g,
                 .m = m,
                 .v = v,
                 .n = n};
    s.decay = o->decoupled ? (float)(1 - (double)o->lr * o->weight_decay) : 1;
    s.l2 = o->decoupled ? 0 : o->weight_decay;
    s.rate = (float)(o->lr / c1);
    s.root = (float)(1 / sqrt(c2));
    parallel_for(ceil_div(n, SPAN), adam_task, &s);
}

typedef struct {
    const float *x;
    size_t n, piece;
    double sum[KERN_PIECES];
} sumsq_t;

/* The squares of one piece, in double from the start. */
static void sumsq_task(void *ctx, size_t task) {
    sumsq_t *s = ctx;
    size_t i = task * s->piece, end = min_size(i + s->piece, s->n);
    vd acc[2] = {{0}};
    for (; i + VL <= end; i += VL) {
        vf x = v_load(s->x + i);
        vd a = __builtin_convertvector(v_low(x), vd), b = __builtin_convertvector(v_high(x), vd);
        acc[0] += a * a;
        acc[1] += b * b;
    }
    double sum = v_total(acc[0] + acc[1]);
    for (; i < end; i++) sum += (double)s->x[i] * s->x[i];
    s->sum[task] = sum;
}

double kern_sumsq(const float *x, size_t n) {
    sumsq_t s = {.x = x, .n = n, .piece = ceil_div(n, KERN_PIECES)};
    if (s.piece < SPAN) s.piece = SPAN;
    size_t pieces = ceil_div(n, s.piece);
    parallel_for(pieces, sumsq_task, &s);
    double sum = 0;
    for (size_t p = 0; p < pieces; p++) sum += s.sum[p];
    return sum;
}
