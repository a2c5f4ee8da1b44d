/* schedule.h - the learning rate as a function of the optimizer step. */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include <stdint.h>

typedef enum { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT } schedule_kind_t;
typedef struct {
    schedule_kind_t kind;
    double lr, min_ratio; /* ends at lr * min_ratio */
    int64_t warmup, steps;
} schedule_t;
/* Step s counts from 0. s < warmup: lr (s+1) / (warmup+1), so that the first step is not lost; then
 * from lr at s = warmup down to lr min_ratio at s = steps (cosine or linear), or lr. */
double schedule_lr(const schedule_t *s, int64_t step);

#endif
