/* optimizer.c - see optimizer.h. */
#include "common/train/optimizer.h"

#include "common/kernel/kernel.h"

#include <math.h>

/* The next run of selected parameters that lie side by side, from *i on; false at the end. */
static bool next_run(const optimizer_t *o, const params_t *p, size_t *i, size_t *from, size_t *to) {
    size_t n = params_n(p);
    while (*i < n && !params_match(params_at(p, (int)*i)->name, o->wrt, o->n_wrt)) ++*i;
    if (*i == n) return false;
    *from = params_at(p, (int)*i)->offset;
    while (*i < n && params_match(params_at(p, (int)*i)->name, o->wrt, o->n_wrt)) ++*i;
    *to = *i < n ? params_at(p, (int)*i)->offset : params_block(p);
    return true;
}

optimizer_step_t optimizer_step(const optimizer_t *o, params_t *p, int64_t step,
                                double grad_scale) {
    optimizer_step_t out = {.lr = schedule_lr(&o->schedule, step)};
    float *g = params_base(p, PARAMS_GRAD);
    double sum = 0;
    size_t from, to;
    for (size_t i = 0; next_run(o, p, &i, &from, &to);) sum += kern_sumsq(g + from, to - from);
    out.grad_norm = sqrt(sum) * grad_scale;
    if (!isfinite(out.grad_norm)) {
        out.skipped = true;
        return out;
    }
    double scale = grad_scale;
    if (o->clip > 0 && out.grad_norm > o->clip) scale *= o->clip / out.grad_norm;
    kern_adam_t a = {.lr = (float)out.lr,
                     .beta1 = (float)o->beta1,
                     .beta2 = (float)o->beta2,
                     .eps = (float)o->eps,
                     .weight_decay = (float)o->weight_decay,
                     .decoupled = o->kind == OPTIM_ADAMW,
                     .grad_scale = (float)scale,
                     .step = step + 1};
    float *w = params_base(p, PARAMS_VALUE), *m = params_base(p, PARAMS_M),
          *v = params_base(p, PARAMS_V);
    for (size_t i = 0; next_run(o, p, &i, &from, &to);)
        kern_adam(&a, w + from, g + from, m + from, v + from, to - from);
    if (o->average >
        0) { /* young averages follow fast, as in TensorFlow's ExponentialMovingAverage */
        double decay = fmin(o->average, (1.0 + (double)step) / (10.0 + (double)step));
        float *avg = params_base(p, PARAMS_AVERAGE);
        for (size_t i = 0; next_run(o, p, &i, &from, &to);)
            for (size_t e = from; e < to; e++)
                avg[e] = (float)(decay * avg[e] + (1 - decay) * w[e]);
    }
    return out;
}
