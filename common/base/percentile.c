/* percentile.c - see percentile.h. */
#include "common/base/percentile.h"

#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

void percentile_sort(float *v, size_t n) {
    if (n) qsort(v, n, sizeof *v, by_value);
}

double percentile(const float *sorted, size_t n, double q) {
    return n ? (double)sorted[(size_t)floor(q * (double)(n - 1) + 0.5)] : NAN;
}
