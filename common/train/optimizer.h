/* optimizer.h - Adam and AdamW over the parameter block, with clipping by the global norm and a
 * weight average. */
#ifndef TRAIN_OPTIMIZER_H
#define TRAIN_OPTIMIZER_H

#include "common/tape/params.h"
#include "common/train/schedule.h"

typedef struct {
    enum { OPTIM_ADAM, OPTIM_ADAMW } kind;
    double beta1, beta2, eps, weight_decay, clip; /* clip 0 = none */
    double
        /* decay of the weights' average, 0 = off; like the weights it moves where `wrt` says */
        average;
    schedule_t schedule;
    const char *const *wrt; /* parameters that move (params_match) */
    size_t n_wrt;
} optimizer_t;

typedef struct {
    double grad_norm, lr;
    bool skipped; /* the gradient was not finite: nothing moved */
} optimizer_step_t;

/* One update from PARAMS_GRAD, scaled by grad_scale first (1/accumulate). `step` counts updates
 * from 0. */
optimizer_step_t optimizer_step(const optimizer_t *o, params_t *p, int64_t step, double grad_scale);

#endif
