/* optimizer.c - see optimizer.h. */
#include "common/train/optimizer.h"

#include "common/kernel/kernel.h"

#include <math.h>

/* Parameters lie side by side in each block, so those that move form a few long stretches: floats
 * from .. to - 1 of every block. One sweep handles a stretch. */
typedef struct {
    size_t from, to;
    size_t next; /* the parameter to look at next */
} stretch_t;

static bool moves(const optimizer_t *o, const params_t *p, size_t i) {
    return params_match(params_at(p, (int)i)->name, o->wrt, o->n_wrt);
}

/* Finds the next stretch (the first one when *s is {0}); false if there is none. */
static bool next_stretch(const optimizer_t *o, const params_t *p, stretch_t *s) {
    size_t n = params_n(p), i = s->next;
    while (i < n && !moves(o, p, i)) i++;
    if (i == n) return false;
    s->from = params_at(p, (int)i)->offset;
    while (i < n && moves(o, p, i)) i++;
    s->to = i < n ? params_at(p, (int)i)->offset : params_block(p);
    s->next = i;
    return true;
}

static double sum_of_squares(const optimizer_t *o, params_t *p) {
    const float *g = params_base(p, PARAMS_GRAD);
    double sum = 0;
    stretch_t s = {0};
    while (next_stretch(o, p, &s)) sum += kern_sumsq(g + s.from, s.to - s.from);
    return sum;
}

static void move_weights(const optimizer_t *o, params_t *p, const kern_adam_t *adam) {
    const float *g = params_base(p, PARAMS_GRAD);
    float *w = params_base(p, PARAMS_VALUE), *m = params_base(p, PARAMS_M),
          *v = params_base(p, PARAMS_V);
    stretch_t s = {0};
    while (next_stretch(o, p, &s))
        kern_adam(adam, w + s.from, g + s.from, m + s.from, v + s.from, s.to - s.from);
}

static void move_average(const optimizer_t *o, params_t *p, int64_t step) {
    double decay = fmin(o->average, (1.0 + (double)step) / (10.0 + (double)step));
    const float *w = params_base(p, PARAMS_VALUE);
    float *average = params_base(p, PARAMS_AVERAGE);
    stretch_t s = {0};
    while (next_stretch(o, p, &s))
        for (size_t i = s.from; i < s.to; i++)
            average[i] = (float)(decay * average[i] + (1 - decay) * w[i]);
}

optimizer_step_t optimizer_step(const optimizer_t *o, params_t *p, int64_t step,
                                double grad_scale) {
    optimizer_step_t out = {.lr = schedule_lr(&o->schedule, step)};
    out.grad_norm = sqrt(sum_of_squares(o, p)) * grad_scale;
    if (!isfinite(out.grad_norm)) {
        out.skipped = true;
        return out;
    }

    double scale = grad_scale;
    if (o->clip > 0 && out.grad_norm > o->clip) scale *= o->clip / out.grad_norm;
    kern_adam_t adam = {.lr = (float)out.lr,
                        .beta1 = (float)o->beta1,
                        .beta2 = (float)o->beta2,
                        .eps = (float)o->eps,
                        .weight_decay = (float)o->weight_decay,
                        .decoupled = o->kind == OPTIM_ADAMW,
                        .grad_scale = (float)scale,
                        .step = step + 1};
    move_weights(o, p, &adam);
    if (o->average > 0) move_average(o, p, step);
    return out;
}
