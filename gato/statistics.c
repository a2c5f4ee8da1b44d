/* statistics.c - see statistics.h. */
#include "gato/statistics.h"
#include "common/base/die.h"
#include "common/base/rng.h"
#include "common/base/sizes.h"

#include <math.h>
#include <stdlib.h>

/* Quantiles of the normal distribution: 0.975, and 0.8. */
static const double Z_LEVEL = 1.959963984540054, Z_POWER = 0.8416212335729143;
/* Discordant pairs below which no split is rare enough: 2 / 2^5 > 0.05. */
static const double FEWEST = 6;

void statistics_wilson(double k, double n, double out[2]) {
    double z = Z_LEVEL, p = k / n, mid = (p + z * z / (2 * n)) / (1 + z * z / n),
           half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
    out[0] = k > 0 ? fmax(0, mid - half) : 0;
    out[1] = k < n ? fmin(1, mid + half) : 1;
}

double statistics_mcnemar(size_t b, size_t c) {
    double n = (double)(b + c), tail = 0;
    for (size_t k = 0; k <= min_size(b, c); k++)
        tail += exp(lgamma(n + 1) - lgamma((double)k + 1) - lgamma(n - (double)k + 1) - n * M_LN2);
    return fmin(1, 2 * tail);
}

double statistics_deviation(const double *v, size_t n) {
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++) mean += v[i] / (double)n;
    for (size_t i = 0; i < n; i++) squares += (v[i] - mean) * (v[i] - mean);
    return n < 2 ? NAN : sqrt(squares / (double)(n - 1));
}

/* Positive where n pairs are enough for the difference d. */
static double excess(double n, double discordant, double d) {
    return sqrt(n) * d - Z_LEVEL * sqrt(discordant) - Z_POWER * sqrt(fmax(0, discordant - d * d));
}

double statistics_smallest_share(double n, double discordant) {
    double low = 0, high = 1, least = FEWEST / n;
    for (int i = 0; i < 200; i++) {
        double d = (low + high) / 2;
        /* a larger difference needs as many discordant pairs */
        if (excess(n, fmax(discordant, d), d) < 0)
            low = d;
        else
            high = d;
    }
    return fmin(1, fmax(high, least));
}

double statistics_smallest_mean(double standard_error) {
    return (Z_LEVEL + Z_POWER) * standard_error;
}

double statistics_mean(const differences_t *d) {
    double sum = 0, n = 0;
    for (size_t g = 0; g < d->groups; g++) {
        size_t first = d->group[g], end = d->group[g + 1];
        double of = 0;
        if (first == end) continue;
        for (size_t i = first; i < end; i++) of += d->v[i];
        sum += of / (double)(end - first);
        n++;
    }
    return n > 0 ? sum / n : NAN;
}

/* ---- bootstrap ---- */

/* The mean of one resample. Draws are numbered by their place in it. */
static double resampled(const differences_t *d, rng_t r) {
    uint64_t draw = 0;
    double sum = 0, n = 0;
    for (size_t k = 0; k < d->groups; k++) {
        size_t g = d->groups > 1 ? rng_below(r, draw++, (uint32_t)d->groups) : 0;
        size_t first = d->group[g], pairs = d->group[g + 1] - first;
        double of = 0;
        if (!pairs) continue;
        for (size_t i = 0; i < pairs; i++)
            of += d->v[first + rng_below(r, draw++, (uint32_t)pairs)];
        sum += of / (double)pairs;
        n++;
    }
    return n > 0 ? sum / n : NAN;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the neighbors of the rank q (n - 1). */
static double quantile(const double *sorted, size_t n, double q) {
    double at = q * (double)(n - 1), low = floor(at);
    size_t i = (size_t)low;
    if (i + 1 >= n) return sorted[n - 1];
    return sorted[i] + (at - low) * (sorted[i + 1] - sorted[i]);
}

void statistics_bootstrap(const differences_t *d, size_t resamples, uint64_t seed, double out[2]) {
    rng_t r = rng_make(seed, "compare.bootstrap");
    double *mean = xmalloc(resamples * sizeof *mean);
    size_t n = 0;
    for (size_t i = 0; i < resamples; i++) {
        double v = resampled(d, rng_fold(r, i));
        if (isfinite(v)) mean[n++] = v;
    }
    qsort(mean, n, sizeof *mean, by_value);
    out[0] = n ? quantile(mean, n, 0.025) : NAN;
    out[1] = n ? quantile(mean, n, 0.975) : NAN;
    free(mean);
}
