/* schedule.h - the learning rate as a function of the step: it rises during the warm-up, then falls
 * (optim.schedule).
 *
 * With lr = optim.lr, W = optim.warmup, S = train.steps, low = lr optim.min_ratio, at step s, which
 * counts from 0:
 *
 *     s < W      lr (s + 1) / (W + 1)              a straight line; the first step is not lost to 0
 *     s >= W, with x = min(1, (s - W) / (S - W)):
 *       cosine   low + (lr - low) (1 + cos(pi x)) / 2
 *       linear   lr + (low - lr) x
 *       constant lr
 *
 * The cosine is half a period, without restarts: equation 5 of Loshchilov & Hutter, SGDR (2017).
 * Both falls start at lr (s = W) and would reach low at s = S, one step behind the last. If S <= W
 * nothing is left to fall: lr after the warm-up.
 */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdint.h>

typedef enum { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT } schedule_kind_t;
typedef struct {
    schedule_kind_t kind;
    double lr;        /* the largest */
    double min_ratio; /* low / lr */
    int64_t warmup, steps;
} schedule_t;

/* The learning rate of `step`, by the table above. A function of its arguments alone, so that a
 * resumed training goes on with the right one. */
double schedule_lr(const schedule_t *s, int64_t step);

#endif
