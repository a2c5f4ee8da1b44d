/* percentile.h - percentiles of measured times. */
#ifndef BASE_PERCENTILE_H
#define BASE_PERCENTILE_H

#include <stddef.h>

/* Sorts v upward. */
void percentile_sort(float *v, size_t n);
/* The value at share q (0 to 1) of the n sorted ones, the nearest of them; NAN of none. */
double percentile(const float *sorted, size_t n, double q);

#endif
