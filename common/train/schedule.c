/* schedule.c - see schedule.h. */
#include "common/train/schedule.h"

#include <math.h>

double schedule_lr(const schedule_t *s, int64_t step) {
    if (step < s->warmup) return s->lr * (double)(step + 1) / (double)(s->warmup + 1);
    if (s->kind == SCHEDULE_CONSTANT || s->steps <= s->warmup) return s->lr;

    /* x: how much of the fall is over, from 0 to 1. */
    double x = (double)(step - s->warmup) / (double)(s->steps - s->warmup);
    if (x > 1) x = 1;
    double low = s->lr * s->min_ratio;
    if (s->kind == SCHEDULE_LINEAR) return s->lr + (low - s->lr) * x;
    return low + 0.5 * (s->lr - low) * (1 + cos(M_PI * x));
}
