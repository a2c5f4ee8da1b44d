/* optimizer.h - one update of the weights: Adam or AdamW over the parameter block, with clipping by
 * the global norm and a running average of the weights.
 *
 * With the summed gradient G of all micro-batches, s the step counted from 0, t = s + 1, and
 * lr = schedule_lr(s):
 *
 *     g   <- grad_scale G                    the mean over micro-batches: grad_scale = 1/accumulate
 *     |g| =  sqrt(sum of g^2)                over all parameters that move, together
 *     g   <- g clip / |g|                    if clip > 0 and |g| > clip: the direction stays
 *     g   <- g + weight_decay w              OPTIM_ADAM only: the decay is part of the gradient
 *     m   <- beta1 m + (1 - beta1) g         mean of recent gradients
 *     v   <- beta2 v + (1 - beta2) g^2       mean of their squares, a number per weight
 *     m^  =  m / (1 - beta1^t)               m and v start at 0; this takes out their lag
 *     v^  =  v / (1 - beta2^t)
 *     w   <- w - lr weight_decay w           OPTIM_ADAMW only: the decay beside the gradient
 *     w   <- w - lr m^ / (sqrt(v^) + eps)
 *     avg <- d avg + (1 - d) w               if average > 0; d = min(average, (1 + s) / (10 + s))
 *
 * Sources: Adam, Kingma & Ba (2015), algorithm 1. AdamW, Loshchilov & Hutter (2019), algorithm 2.
 * The average's d is that of TensorFlow's ExponentialMovingAverage: young averages follow fast.
 * kern_adam (kernel/optim.h) is the sweep over w, g, m and v.
 */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "common/tape/params.h"
#include "common/train/schedule.h"

typedef struct {
    enum { OPTIM_ADAM, OPTIM_ADAMW } kind;
    double beta1, beta2, eps, weight_decay;
    double clip;    /* largest |g|; 0 = none */
    double average; /* decay of the weights' average; 0 = no average */
    schedule_t schedule;
    /* [n_wrt] patterns: which parameters move, and their averages (params_match). Borrowed. */
    const char *const *wrt;
    size_t n_wrt;
} optimizer_t;

typedef struct {
    double grad_norm; /* |g| before clipping */
    double lr;
    bool skipped; /* |g| is not finite: nothing moved */
} optimizer_step_t;

/* One update, in place: from PARAMS_GRAD into PARAMS_VALUE, PARAMS_M, PARAMS_V, and PARAMS_AVERAGE
 * if there is an average (which the caller starts as a copy of the weights). The results do not
 * depend on the number of threads. */
optimizer_step_t optimizer_step(const optimizer_t *o, params_t *p, int64_t step, double grad_scale);

#endif
